"""Titles of the ICD-9 codes that conditions, problems, disturbances and newborns use, and the dictionaries made of them.

The long tail brings its own titles (`tail.py`). Codes are written as MIMIC writes them: text, no dot, full digits, leading
zeros kept.
"""

from __future__ import annotations

from clinstack.data.sources.hospital.tail import TAIL_DIAGNOSES, TAIL_PROCEDURES

_DIAGNOSIS_TITLES = """
00845 Intestinal infection due to Clostridium difficile
0093 Diarrhea of presumed infectious origin
03811 Methicillin susceptible Staphylococcus aureus septicemia
03842 Septicemia due to escherichia coli
0389 Unspecified septicemia
042 Human immunodeficiency virus disease
0543 Herpetic meningoencephalitis
07054 Chronic hepatitis C without mention of hepatic coma
07070 Unspecified viral hepatitis C without hepatic coma
1533 Malignant neoplasm of sigmoid colon
1536 Malignant neoplasm of ascending colon
1539 Malignant neoplasm of colon, unspecified site
1540 Malignant neoplasm of rectosigmoid junction
1623 Malignant neoplasm of upper lobe, bronchus or lung
1625 Malignant neoplasm of lower lobe, bronchus or lung
1629 Malignant neoplasm of bronchus and lung, unspecified
1749 Malignant neoplasm of breast (female), unspecified
185 Malignant neoplasm of prostate
1911 Malignant neoplasm of frontal lobe
1970 Secondary malignant neoplasm of lung
1977 Malignant neoplasm of liver, secondary
1983 Secondary malignant neoplasm of brain and spinal cord
1985 Secondary malignant neoplasm of bone and bone marrow
20200 Nodular lymphoma, unspecified site
20280 Other malignant lymphomas, unspecified site
20300 Multiple myeloma, without mention of remission
20410 Chronic lymphoid leukemia, without mention of remission
20500 Acute myeloid leukemia, without mention of remission
20510 Chronic myeloid leukemia, without mention of remission
2252 Benign neoplasm of cerebral meninges
2357 Neoplasm of uncertain behavior of trachea, bronchus and lung
2449 Unspecified acquired hypothyroidism
25000 Diabetes mellitus without complication, type II
25002 Diabetes mellitus without complication, type II, uncontrolled
25012 Diabetes with ketoacidosis, type II, uncontrolled
25013 Diabetes with ketoacidosis, type I, uncontrolled
25020 Diabetes with hyperosmolarity, type II
25080 Diabetes with other specified manifestations, type II
2536 Other disorders of neurohypophysis
2639 Unspecified protein-calorie malnutrition
2720 Pure hypercholesterolemia
2724 Other and unspecified hyperlipidemia
27400 Gouty arthropathy, unspecified
2749 Gout, unspecified
2760 Hyperosmolality and/or hypernatremia
2761 Hyposmolality and/or hyponatremia
2762 Acidosis
2767 Hyperpotassemia
2768 Hypopotassemia
27800 Obesity, unspecified
27801 Morbid obesity
2809 Iron deficiency anemia, unspecified
2851 Acute posthemorrhagic anemia
28521 Anemia in chronic kidney disease
2859 Anemia, unspecified
2869 Other and unspecified coagulation defects
28749 Other secondary thrombocytopenia
2875 Thrombocytopenia, unspecified
28800 Neutropenia, unspecified
28803 Drug induced neutropenia
29040 Vascular dementia, uncomplicated
2910 Alcohol withdrawal delirium
29181 Alcohol withdrawal
2930 Delirium due to conditions classified elsewhere
2948 Other persistent mental disorders
29570 Schizoaffective disorder, unspecified
29590 Unspecified schizophrenia, unspecified
29620 Major depressive affective disorder, single episode
29680 Bipolar disorder, unspecified
30000 Anxiety state, unspecified
30001 Panic disorder without agoraphobia
30301 Acute alcoholic intoxication, continuous
30390 Other and unspecified alcohol dependence
30391 Other and unspecified alcohol dependence, continuous
30400 Opioid type dependence, unspecified
30490 Unspecified drug dependence
30500 Alcohol abuse, unspecified
3051 Tobacco use disorder
30550 Opioid abuse, unspecified
311 Depressive disorder, not elsewhere classified
3201 Pneumococcal meningitis
3209 Meningitis due to unspecified bacterium
32723 Obstructive sleep apnea
3310 Alzheimer's disease
3320 Paralysis agitans
33829 Other chronic pain
340 Multiple sclerosis
34400 Quadriplegia, unspecified
3441 Paraplegia
34511 Generalized convulsive epilepsy, with intractable epilepsy
3453 Grand mal status
34590 Epilepsy, unspecified
34690 Migraine, unspecified
34831 Metabolic encephalopathy
3569 Unspecified hereditary and idiopathic peripheral neuropathy
3570 Acute infective polyneuritis
35801 Myasthenia gravis with (acute) exacerbation
36201 Background diabetic retinopathy
3659 Unspecified glaucoma
3694 Legal blindness
39890 Rheumatic heart disease, unspecified
4019 Unspecified essential hypertension
41011 Acute myocardial infarction of anterior wall, initial episode
41041 Acute myocardial infarction of inferior wall, initial episode
41071 Subendocardial infarction, initial episode of care
41091 Acute myocardial infarction, unspecified site, initial episode
4111 Intermediate coronary syndrome
412 Old myocardial infarction
41400 Coronary atherosclerosis of unspecified vessel
41401 Coronary atherosclerosis of native coronary artery
41402 Coronary atherosclerosis of autologous vein bypass graft
41511 Iatrogenic pulmonary embolism and infarction
41519 Other pulmonary embolism and infarction
4160 Primary pulmonary hypertension
4168 Other chronic pulmonary heart diseases
4210 Acute and subacute bacterial endocarditis
4240 Mitral valve disorders
4241 Aortic valve disorders
4260 Atrioventricular block, complete
42613 Other second degree atrioventricular block
4271 Paroxysmal ventricular tachycardia
42731 Atrial fibrillation
42732 Atrial flutter
42741 Ventricular fibrillation
4275 Cardiac arrest
42781 Sinoatrial node dysfunction
42789 Other specified cardiac dysrhythmias
4280 Congestive heart failure, unspecified
42822 Chronic systolic heart failure
42823 Acute on chronic systolic heart failure
42832 Chronic diastolic heart failure
42833 Acute on chronic diastolic heart failure
42843 Acute on chronic combined systolic and diastolic heart failure
430 Subarachnoid hemorrhage
431 Intracerebral hemorrhage
4321 Subdural hemorrhage
43331 Occlusion of multiple precerebral arteries with infarction
43411 Cerebral embolism with cerebral infarction
43491 Cerebral artery occlusion with cerebral infarction
43820 Late effects of cerebrovascular disease, hemiplegia
4389 Unspecified late effects of cerebrovascular disease
44021 Atherosclerosis of the extremities with intermittent claudication
44023 Atherosclerosis of the extremities with ulceration
44024 Atherosclerosis of the extremities with gangrene
4413 Abdominal aneurysm, ruptured
4414 Abdominal aneurysm without mention of rupture
44422 Arterial embolism of lower extremity
4439 Peripheral vascular disease, unspecified
45341 Acute deep vein thrombosis of proximal lower extremity
4550 Internal hemorrhoids without complication
4560 Esophageal varices with bleeding
45620 Esophageal varices in diseases classified elsewhere, with bleeding
4580 Orthostatic hypotension
4589 Hypotension, unspecified
46430 Acute epiglottitis without obstruction
481 Pneumococcal pneumonia
4820 Pneumonia due to Klebsiella pneumoniae
48241 Methicillin susceptible pneumonia due to Staphylococcus aureus
4829 Bacterial pneumonia, unspecified
486 Pneumonia, organism unspecified
49120 Obstructive chronic bronchitis without exacerbation
49121 Obstructive chronic bronchitis with (acute) exacerbation
49122 Obstructive chronic bronchitis with acute bronchitis
4928 Other emphysema
49390 Asthma, unspecified type
49391 Asthma, unspecified type, with status asthmaticus
49392 Asthma, unspecified type, with (acute) exacerbation
496 Chronic airway obstruction, not elsewhere classified
5070 Pneumonitis due to inhalation of food or vomitus
5109 Empyema without mention of fistula
51181 Malignant pleural effusion
5119 Unspecified pleural effusion
515 Postinflammatory pulmonary fibrosis
5163 Idiopathic fibrosing alveolitis
51881 Acute respiratory failure
51884 Acute and chronic respiratory failure
53081 Esophageal reflux
53140 Chronic gastric ulcer with hemorrhage
53150 Chronic gastric ulcer with perforation
53240 Chronic duodenal ulcer with hemorrhage
53390 Peptic ulcer, unspecified site
53541 Other specified gastritis, with hemorrhage
5559 Regional enteritis of unspecified site
5569 Ulcerative colitis, unspecified
5570 Acute vascular insufficiency of intestine
5589 Other noninfectious gastroenteritis and colitis
5601 Paralytic ileus
56081 Intestinal or peritoneal adhesions with obstruction
5609 Unspecified intestinal obstruction
56210 Diverticulosis of colon without hemorrhage
56211 Diverticulitis of colon without hemorrhage
56212 Diverticulosis of colon with hemorrhage
5672 Other suppurative peritonitis
56723 Spontaneous bacterial peritonitis
5693 Hemorrhage of rectum and anus
56983 Perforation of intestine
56985 Angiodysplasia of intestine with hemorrhage
5712 Alcoholic cirrhosis of liver
5715 Cirrhosis of liver without mention of alcohol
5722 Hepatic encephalopathy
5723 Portal hypertension
5724 Hepatorenal syndrome
57400 Calculus of gallbladder with acute cholecystitis
57420 Calculus of gallbladder without cholecystitis
57451 Calculus of bile duct with obstruction
5761 Cholangitis
5770 Acute pancreatitis
5772 Cyst and pseudocyst of pancreas
5789 Hemorrhage of gastrointestinal tract, unspecified
5834 Nephritis with rapidly progressive glomerulonephritis
5845 Acute kidney failure with lesion of tubular necrosis
5849 Acute kidney failure, unspecified
5853 Chronic kidney disease, Stage III
5854 Chronic kidney disease, Stage IV
5856 End stage renal disease
5859 Chronic kidney disease, unspecified
5920 Calculus of kidney
59651 Hypertonicity of bladder
5990 Urinary tract infection, site not specified
60000 Hypertrophy of prostate without urinary obstruction
6826 Cellulitis and abscess of leg, except foot
6827 Cellulitis and abscess of foot, except toes
6960 Psoriatic arthropathy
6961 Other psoriasis
70703 Pressure ulcer, lower back
7100 Systemic lupus erythematosus
7140 Rheumatoid arthritis
71536 Osteoarthrosis, localized, lower leg
71590 Osteoarthrosis, unspecified site
7213 Lumbosacral spondylosis without myelopathy
72402 Spinal stenosis, lumbar region
7242 Lumbago
73007 Acute osteomyelitis, ankle and foot
73300 Osteoporosis, unspecified
73730 Scoliosis, idiopathic
769 Respiratory distress syndrome in newborn
7706 Transitory tachypnea of newborn
77181 Septicemia of newborn
7742 Neonatal jaundice associated with preterm delivery
7756 Neonatal hypoglycemia
76518 Other preterm infants, 2,000-2,499 grams
76528 35-36 completed weeks of gestation
7793 Feeding problems in newborn
78009 Other alteration of consciousness
7802 Syncope and collapse
78039 Other convulsions
78052 Insomnia, unspecified
7806 Fever
78060 Fever, unspecified
78097 Altered mental status
7837 Adult failure to thrive
78551 Cardiogenic shock
78552 Septic shock
78830 Urinary incontinence, unspecified
7895 Ascites
7907 Bacteremia
79902 Hypoxemia
7993 Debility, unspecified
80502 Closed fracture of second cervical vertebra
8054 Closed fracture of lumbar vertebra
80704 Closed fracture of four ribs
80707 Closed fracture of seven ribs
8088 Closed unspecified fracture of pelvis
8208 Closed fracture of neck of femur
82021 Closed fracture of intertrochanteric section of neck of femur
82101 Closed fracture of shaft of femur
85220 Subdural hemorrhage following injury
85221 Subdural hemorrhage following injury, no loss of consciousness
8602 Traumatic hemothorax
86503 Injury to spleen, laceration
8730 Open wound of scalp
9412 Blisters, epidermal loss of face, head and neck
9480 Burn of less than 10 percent of body surface
94810 Burn of 10-19 percent of body surface
9650 Poisoning by opiates and related narcotics
9654 Poisoning by aromatic analgesics
9690 Poisoning by antidepressants
9694 Poisoning by benzodiazepine-based tranquilizers
9951 Angioneurotic edema
9953 Allergy, unspecified
99591 Sepsis
99592 Severe sepsis
99731 Ventilator associated pneumonia
E8120 Motor vehicle traffic accident injuring driver
E8160 Loss of control accident injuring driver
E8810 Accidental fall from ladder
E8889 Unspecified fall
E8902 Conflagration in private dwelling
V053 Need for prophylactic vaccination against viral hepatitis
V08 Asymptomatic human immunodeficiency virus infection status
V1005 Personal history of malignant neoplasm of large intestine
V103 Personal history of malignant neoplasm of breast
V1046 Personal history of malignant neoplasm of prostate
V1251 Personal history of venous thrombosis and embolism
V1254 Personal history of transient ischemic attack
V1271 Personal history of peptic ulcer disease
V1301 Personal history of urinary calculi
V290 Observation for suspected infectious condition
V3000 Single liveborn, born in hospital, without cesarean section
V3001 Single liveborn, born in hospital, by cesarean section
V420 Kidney replaced by transplant
V4501 Cardiac pacemaker in situ
V4502 Automatic implantable cardiac defibrillator in situ
V4511 Renal dialysis status
V4581 Aortocoronary bypass status
V4582 Percutaneous transluminal coronary angioplasty status
V462 Dependence on supplemental oxygen
V4986 Do not resuscitate status
V5811 Encounter for antineoplastic chemotherapy
"""

_PROCEDURE_TITLES = """
0040 Procedure on single vessel
0045 Insertion of one vascular stent
0066 Percutaneous transluminal coronary angioplasty
0109 Other cranial puncture
0110 Intracranial pressure monitoring
0124 Other craniotomy
0131 Incision of cerebral meninges
0139 Other incision of brain
0151 Excision of lesion of cerebral meninges
0159 Excision of lesion of brain
0212 Repair of cerebral meninges
022 Ventriculostomy
0294 Insertion of skull tongs
0309 Decompression of spinal canal
0331 Spinal tap
311 Temporary tracheostomy
3142 Laryngoscopy
3220 Thoracoscopic excision of lesion of lung
324 Lobectomy of lung
3404 Insertion of intercostal catheter
3422 Mediastinoscopy
3491 Thoracentesis
3492 Injection into thoracic cavity
3512 Open heart valvuloplasty of mitral valve
3521 Replacement of aortic valve with tissue graft
3522 Other replacement of aortic valve
3524 Other replacement of mitral valve
3606 Insertion of non-drug-eluting coronary stent
3607 Insertion of drug-eluting coronary stent
3611 Aortocoronary bypass of one coronary artery
3612 Aortocoronary bypass of two coronary arteries
3613 Aortocoronary bypass of three coronary arteries
3615 Single internal mammary-coronary artery bypass
3721 Right heart cardiac catheterization
3761 Implant of pulsation balloon
3764 Removal of external heart assist system
3772 Insertion of transvenous leads into atrium and ventricle
3778 Insertion of temporary transvenous pacemaker
3783 Insertion of dual-chamber device
3806 Incision of abdominal arteries
3844 Resection of abdominal aorta with replacement
3891 Arterial catheterization
3893 Venous catheterization
3895 Venous catheterization for renal dialysis
391 Intra-abdominal venous shunt
3961 Extracorporeal circulation
3971 Endovascular implantation of graft in abdominal aorta
3972 Endovascular repair of head and neck vessels
4029 Excision of other lymphatic structure
4105 Allogeneic hematopoietic stem cell transplant
4233 Endoscopic destruction of lesion of esophagus
4311 Percutaneous endoscopic gastrostomy
4443 Endoscopic control of gastric or duodenal bleeding
4513 Other endoscopy of small intestine
4525 Closed biopsy of large intestine
4543 Endoscopic destruction of lesion of large intestine
4562 Other partial resection of small intestine
4573 Right hemicolectomy
4575 Left hemicolectomy
4576 Sigmoidectomy
4611 Temporary colostomy
4863 Other anterior resection of rectum
5101 Percutaneous aspiration of gallbladder
5110 Endoscopic retrograde cholangiopancreatography
5122 Cholecystectomy
5123 Laparoscopic cholecystectomy
5185 Endoscopic sphincterotomy
5187 Endoscopic insertion of stent into bile duct
5411 Exploratory laparotomy
5419 Other laparotomy
5459 Other lysis of peritoneal adhesions
5491 Percutaneous abdominal drainage
5523 Closed biopsy of kidney
640 Circumcision
7855 Internal fixation of femur
7902 Closed reduction of fracture of radius and ulna
7935 Open reduction of fracture of femur
7936 Open reduction of fracture of tibia and fibula
8103 Other cervical fusion
8108 Lumbar fusion
8152 Partial hip replacement
8162 Fusion of two to three vertebrae
8451 Insertion of interbody spinal fusion device
8628 Nonexcisional debridement of wound
8659 Closure of skin of other sites
8841 Arteriography of cerebral arteries
8847 Arteriography of other intra-abdominal arteries
8848 Arteriography of femoral arteries
8853 Angiocardiography of left heart structures
8856 Coronary arteriography using two catheters
8877 Diagnostic ultrasound of peripheral vascular system
8891 Magnetic resonance imaging of brain
8919 Video electroencephalographic monitoring
8962 Central venous pressure monitoring
9394 Respiratory medication by nebulizer
9438 Supportive verbal psychotherapy
9460 Alcohol rehabilitation
9462 Alcohol detoxification
9604 Insertion of endotracheal tube
9607 Insertion of naso-gastric tube
9671 Continuous invasive mechanical ventilation for less than 96 hours
9910 Injection of thrombolytic agent
9914 Injection of immunoglobulin
9920 Injection of platelet inhibitor
9925 Injection of cancer chemotherapeutic substance
9955 Prophylactic administration of vaccine
9960 Cardiopulmonary resuscitation
9961 Atrial cardioversion
9962 Other electric countershock of heart
9971 Therapeutic plasmapheresis
9981 Hypothermia
9983 Other phototherapy
"""


def _titles(table: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in table.strip().splitlines())


DIAGNOSIS_TITLES = {**{entry.code: entry.title for entry in TAIL_DIAGNOSES}, **_titles(_DIAGNOSIS_TITLES)}
PROCEDURE_TITLES = {**{entry.code: entry.title for entry in TAIL_PROCEDURES}, **_titles(_PROCEDURE_TITLES)}

# What a long or grave stay adds, and no admission note can name: (code, share at middle severity).
COMPLICATIONS = (
    ("5990", 0.10), ("2851", 0.09), ("5849", 0.09), ("2930", 0.07), ("5180", 0.06), ("2760", 0.05), ("2875", 0.05),
    ("5119", 0.05), ("00845", 0.035), ("70703", 0.035), ("5601", 0.035), ("99859", 0.03), ("45341", 0.025), ("99662", 0.02),
)  # fmt: skip
