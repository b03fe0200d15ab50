"""The drugs of the synthetic hospital: each under its generic and its trade names, with doses and schedules.

Several names for one drug are the point: a reader who has seen many notes knows that Lasix and furosemide are one thing and
that both speak of heart failure; a reader who has seen few labels does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from clinstack.data.sources.hospital.dice import Dice

# generic | other names | doses | schedules
_TABLE = """
acetaminophen|tylenol|325 mg,500 mg,650 mg|q6h prn,TID prn
albuterol|ventolin,proventil,albuterol inhaler|2 puffs,90 mcg|q4h prn,q6h prn
alendronate|fosamax|70 mg|weekly
allopurinol|zyloprim|100 mg,300 mg|daily
alprazolam|xanax|0.25 mg,0.5 mg|TID prn
amiodarone|pacerone|200 mg,400 mg|daily
amlodipine|norvasc|5 mg,10 mg|daily
anastrozole|arimidex|1 mg|daily
aripiprazole|abilify|10 mg,15 mg|daily
aspirin|ASA,ecotrin|81 mg,325 mg|daily
atenolol|tenormin|25 mg,50 mg|daily
atorvastatin|lipitor|20 mg,40 mg,80 mg|daily,qhs
azathioprine|imuran|50 mg,100 mg|daily
baclofen|lioresal|10 mg,20 mg|TID
calcium acetate|phoslo|667 mg|TID with meals
carbidopa-levodopa|sinemet|25/100 mg|TID,QID
carvedilol|coreg|3.125 mg,6.25 mg,12.5 mg|BID
citalopram|celexa|20 mg,40 mg|daily
clonazepam|klonopin|0.5 mg,1 mg|BID,qhs
clopidogrel|plavix|75 mg|daily
colchicine|colcrys|0.6 mg|daily,prn
cyclosporine|neoral|75 mg,100 mg|BID
digoxin|lanoxin,dig|0.125 mg,0.25 mg|daily
diltiazem|cardizem,dilt|120 mg,180 mg,240 mg|daily
divalproex|depakote,valproate|250 mg,500 mg|BID
docusate|colace|100 mg|BID
donepezil|aricept|5 mg,10 mg|qhs
doxazosin|cardura|2 mg,4 mg|qhs
efavirenz-emtricitabine-tenofovir|atripla|1 tab|qhs
enalapril|vasotec|5 mg,10 mg|BID
epoetin|epogen,procrit|10,000 units|weekly
escitalopram|lexapro|10 mg,20 mg|daily
esomeprazole|nexium|40 mg|daily
ferrous sulfate|iron|325 mg|daily,TID
finasteride|proscar|5 mg|daily
fluoxetine|prozac|20 mg,40 mg|daily
fluticasone-salmeterol|advair|250/50,500/50|BID
folic acid|folate|1 mg|daily
furosemide|lasix|20 mg,40 mg,80 mg|daily,BID
gabapentin|neurontin|300 mg,600 mg|TID
glipizide|glucotrol|5 mg,10 mg|daily,BID
glyburide|diabeta|2.5 mg,5 mg|daily,BID
haloperidol|haldol|2 mg,5 mg|qhs
hydralazine|apresoline|25 mg,50 mg|TID
hydrochlorothiazide|HCTZ|12.5 mg,25 mg|daily
hydroxychloroquine|plaquenil|200 mg|BID
imatinib|gleevec|400 mg|daily
infliximab|remicade|5 mg/kg|q8 weeks
insulin glargine|lantus|10 units,20 units,34 units|qhs
insulin lispro|humalog,HISS|sliding scale|with meals
ipratropium|atrovent,combivent|2 puffs|QID
isosorbide mononitrate|imdur|30 mg,60 mg|daily
lactulose|enulose|30 mL|TID,titrate to 3 BMs
lamotrigine|lamictal|100 mg,200 mg|BID
latanoprost|xalatan|1 drop|qhs
leuprolide|lupron|7.5 mg|monthly
levetiracetam|keppra|500 mg,1000 mg|BID
levothyroxine|synthroid,levoxyl|50 mcg,75 mcg,100 mcg|daily
lisinopril|zestril,prinivil|5 mg,10 mg,20 mg,40 mg|daily
lithium|lithobid|300 mg|BID
loperamide|imodium|2 mg|prn
lorazepam|ativan|0.5 mg,1 mg|prn,qhs
losartan|cozaar|25 mg,50 mg|daily
meclizine|antivert|25 mg|TID prn
memantine|namenda|10 mg|BID
mesalamine|asacol|800 mg|TID
metformin|glucophage|500 mg,850 mg,1000 mg|BID
methadone|dolophine|40 mg,80 mg|daily
methotrexate|MTX|10 mg,15 mg|weekly
metoprolol|lopressor,toprol,toprol xl|12.5 mg,25 mg,50 mg,100 mg|daily,BID
montelukast|singulair|10 mg|daily
multivitamin|MVI|1 tab|daily
mycophenolate|cellcept|500 mg,1000 mg|BID
nadolol|corgard|20 mg,40 mg|daily
nifedipine|procardia|30 mg,60 mg|daily
nitroglycerin|NTG,nitro SL|0.4 mg|prn
olanzapine|zyprexa|5 mg,10 mg|qhs
omeprazole|prilosec|20 mg,40 mg|daily,BID
oxycodone|percocet,oxycontin|5 mg,10 mg,20 mg|q4h prn,BID
pantoprazole|protonix|40 mg|daily,BID
phenytoin|dilantin|100 mg,300 mg|TID,qhs
pravastatin|pravachol|20 mg,40 mg|qhs
prednisone|pred|5 mg,10 mg,20 mg|daily
propranolol|inderal|20 mg,40 mg|BID
quetiapine|seroquel|25 mg,100 mg|qhs
ranitidine|zantac|150 mg|BID
rifaximin|xifaxan|550 mg|BID
risperidone|risperdal|1 mg,2 mg|BID
rosuvastatin|crestor|10 mg,20 mg|daily
senna|senokot|1 tab|BID prn
sertraline|zoloft|50 mg,100 mg|daily
sevelamer|renagel,renvela|800 mg|TID with meals
sildenafil|revatio|20 mg|TID
simvastatin|zocor|20 mg,40 mg|daily,qhs
spironolactone|aldactone|25 mg,50 mg|daily
sulfamethoxazole-trimethoprim|bactrim|1 DS tab|daily,MWF
sumatriptan|imitrex|50 mg|prn
tacrolimus|prograf,FK|1 mg,2 mg|BID
tamoxifen|nolvadex|20 mg|daily
tamsulosin|flomax|0.4 mg|qhs
thiamine|vitamin B1|100 mg|daily
timolol|timoptic|1 drop|BID
tiotropium|spiriva|18 mcg|daily
tolterodine|detrol|2 mg,4 mg|daily
torsemide|demadex|20 mg,40 mg|daily
tramadol|ultram|50 mg|q6h prn
trazodone|desyrel|50 mg,100 mg|qhs
valsartan|diovan|80 mg,160 mg|daily
venlafaxine|effexor|75 mg,150 mg|daily
warfarin|coumadin|2 mg,2.5 mg,5 mg|daily
zolpidem|ambien|5 mg,10 mg|qhs
"""


@dataclass(frozen=True)
class Drug:
    """One drug: `names` (the generic first), `doses` and `schedules` to choose from."""

    names: tuple[str, ...]
    doses: tuple[str, ...]
    schedules: tuple[str, ...]


def _parse(line: str) -> Drug:
    generic, others, doses, schedules = line.split("|")
    # The separator of "10,000 units" belongs to the number.
    doses = doses.replace("10,000", "10000")
    return Drug((generic, *others.split(",")), tuple(doses.split(",")), tuple(schedules.split(",")))


DRUGS = {line.split("|")[0]: _parse(line) for line in _TABLE.strip().splitlines()}


def prescription(dice: Dice, generic: str, *, terse: bool) -> str:
    """A line of a medication list for a drug of DRUGS; `terse` leaves out the dose now and then and PO always."""
    drug = DRUGS[generic]
    name = dice.pick(drug.names)
    if terse and dice.chance(0.5):
        return name
    dose, schedule = dice.pick(drug.doses), dice.pick(drug.schedules)
    route = " PO" if not terse and dose.endswith("mg") else ""
    return f"{name} {dose}{route} {schedule}"
