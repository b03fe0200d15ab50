"""Chronic conditions: what a patient brings along, in the many forms in which notes write it.

Each has several names (an abbreviation, the full term, a telling detail), drugs that give it away, ICD-9 codes, and weights:
how common it is, from what age, and how much it adds to the risk of death, the length of stay and the time on a ventilator.
The figures are plausible, not measured; they make a hospital that is learnable, not one to draw medical conclusions from.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """A chronic condition.

    share: of patients aged 70 who have it; less below, from about none at `onset` years.
    graded: whether notes say how severe it is.
    risk, length, breath: what it adds to the scores of death, of days in hospital and of days on a ventilator.
    """

    key: str
    names: tuple[str, ...]
    codes: tuple[str, ...]
    drugs: tuple[str, ...] = ()
    share: float = 0.05
    onset: int = 30
    risk: float = 0.0
    length: float = 0.0
    breath: float = 0.0
    sex: str = ""
    family: str = ""
    graded: bool = False


CONDITIONS = (
    Condition(
        "heart failure",
        (
            "CHF", "congestive heart failure", "HFrEF", "systolic heart failure", "LV systolic dysfunction (EF 25%)",
            "ischemic cardiomyopathy with EF 30%", "diastolic CHF", "chronic HF",
        ),
        ("4280", "42822", "42832", "42833"),
        ("furosemide", "carvedilol", "lisinopril", "spironolactone", "torsemide", "digoxin"),
        0.22, 40, 0.35, 0.25, 0.2, family="heart failure", graded=True,
    ),
    Condition(
        "coronary disease",
        (
            "CAD", "coronary artery disease", "3-vessel coronary disease", "ischemic heart disease", "prior MI",
            "CAD s/p IMI",
        ),
        ("41401", "41400", "412"),
        ("aspirin", "metoprolol", "atorvastatin", "nitroglycerin", "clopidogrel", "isosorbide mononitrate"),
        0.28, 35, 0.1, 0.05, family="an MI",
    ),
    Condition(
        "atrial fibrillation",
        (
            "afib", "atrial fibrillation", "AF", "a-fib on coumadin", "paroxysmal afib", "PAF",
            "chronic atrial fibrillation",
        ),
        ("42731",),
        ("warfarin", "amiodarone", "diltiazem", "metoprolol", "digoxin"),
        0.2, 45, 0.15, 0.15, family="atrial fibrillation",
    ),
    Condition(
        "hypertension",
        ("HTN", "hypertension", "high blood pressure", "essential hypertension"),
        ("4019",),
        ("lisinopril", "amlodipine", "hydrochlorothiazide", "atenolol", "losartan", "valsartan"),
        0.55, 25, family="hypertension", graded=True,
    ),
    Condition(
        "hyperlipidemia",
        ("HLD", "hyperlipidemia", "hypercholesterolemia", "high cholesterol", "dyslipidemia"),
        ("2724", "2720"),
        ("simvastatin", "atorvastatin", "pravastatin", "rosuvastatin"),
        0.4, 30, family="high cholesterol",
    ),
    Condition(
        "diabetes",
        ("DM2", "type 2 diabetes", "diabetes mellitus", "T2DM", "IDDM", "insulin-dependent diabetes", "NIDDM", "DM"),
        ("25000", "25002", "25080"),
        ("metformin", "glipizide", "insulin glargine", "insulin lispro", "glyburide"),
        0.3, 25, 0.05, 0.1, family="diabetes", graded=True,
    ),
    Condition(
        "COPD",
        (
            "COPD", "emphysema", "chronic obstructive pulmonary disease", "chronic bronchitis",
            "COPD (FEV1 40% predicted)", "obstructive lung disease",
        ),
        ("496", "4928", "49120"),
        ("tiotropium", "albuterol", "fluticasone-salmeterol", "ipratropium", "prednisone"),
        0.17, 45, 0.2, 0.15, 0.45, family="emphysema", graded=True,
    ),
    Condition(
        "asthma",
        ("asthma", "reactive airway disease", "RAD", "childhood asthma"),
        ("49390",),
        ("albuterol", "montelukast", "fluticasone-salmeterol"),
        0.06, 5, breath=0.1, family="asthma", graded=True,
    ),
    Condition(
        "kidney disease",
        (
            "CKD", "chronic kidney disease", "CRI (baseline Cr 1.8)", "chronic renal insufficiency", "stage III CKD",
            "CRI",
        ),
        ("5859", "5853", "5854"), ("epoetin", "hydralazine"), 0.15, 40, 0.2, 0.2, family="kidney disease",
        graded=True,
    ),
    Condition(
        "dialysis",
        (
            "ESRD on HD", "end stage renal disease on hemodialysis", "ESRD", "dialysis-dependent renal failure (MWF)",
            "HD via L AV fistula",
        ),
        ("5856", "V4511"),
        ("sevelamer", "calcium acetate", "epoetin"),
        0.04, 30, 0.25, 0.3, 0.1, family="kidney failure",
    ),
    Condition(
        "cirrhosis",
        (
            "cirrhosis", "ETOH cirrhosis", "end stage liver disease", "ESLD", "cirrhosis c/b ascites and varices",
            "HCV cirrhosis",
        ),
        ("5712", "5715"),
        ("lactulose", "nadolol", "spironolactone", "rifaximin"),
        0.045, 30, 0.75, 0.3, 0.2, family="cirrhosis", graded=True,
    ),
    Condition("hepatitis C", ("HCV", "hepatitis C", "hep C"), ("07054", "07070"), (), 0.035, 20, 0.05),
    Condition(
        "alcohol",
        ("ETOH abuse", "alcohol abuse", "alcohol dependence", "heavy alcohol use", "alcoholism"),
        ("30500", "30391", "30390"),
        ("thiamine", "folic acid", "multivitamin"),
        0.07, 15, 0.1, 0.1, 0.2, family="alcoholism",
    ),
    Condition("tobacco", ("tobacco abuse", "current smoker", "nicotine dependence"), ("3051", "V1582"), (), 0.14, 15),
    Condition(
        "stroke",
        ("prior CVA", "h/o stroke", "old left MCA stroke", "CVA with residual L sided weakness", "prior TIA"),
        ("V1254", "43820", "4389"),
        ("aspirin", "clopidogrel", "simvastatin"),
        0.1, 40, 0.15, 0.15, 0.1, family="a stroke",
    ),
    Condition(
        "epilepsy",
        ("seizure disorder", "epilepsy", "seizures on dilantin", "sz d/o"),
        ("34590", "78039"),
        ("phenytoin", "levetiracetam", "divalproex"),
        0.035, 5, family="epilepsy",
    ),
    Condition(
        "dementia",
        (
            "dementia", "Alzheimer's disease", "Alzheimer's dementia", "vascular dementia",
            "advanced dementia, nonverbal at baseline",
        ),
        ("2948", "3310", "29040"), ("donepezil", "memantine"), 0.1, 62, 0.35, 0.1, family="Alzheimer's", graded=True,
    ),
    Condition(
        "parkinsonism",
        ("Parkinson's disease", "parkinsonism", "PD on sinemet"),
        ("3320",), ("carbidopa-levodopa",), 0.025, 55, 0.1, 0.1, graded=True,
    ),
    Condition(
        "depression",
        ("depression", "major depression", "MDD", "depressive disorder"),
        ("311", "29620"),
        ("citalopram", "sertraline", "fluoxetine", "venlafaxine", "trazodone"),
        0.15, 10, family="depression", graded=True,
    ),
    Condition(
        "bipolar disorder",
        ("bipolar disorder", "bipolar d/o", "BPAD", "manic depression"),
        ("29680",), ("lithium", "divalproex", "quetiapine"), 0.02, 10,
    ),
    Condition(
        "schizophrenia",
        ("schizophrenia", "schizoaffective disorder", "psychosis on zyprexa"),
        ("29590", "29570"),
        ("olanzapine", "risperidone", "haloperidol"),
        0.015, 10,
    ),
    Condition(
        "anxiety",
        ("anxiety", "panic disorder", "GAD", "anxiety disorder"),
        ("30000", "30001"),
        ("lorazepam", "clonazepam", "alprazolam"),
        0.08, 10,
    ),
    Condition(
        "hypothyroidism",
        ("hypothyroidism", "hypothyroid", "Hashimoto's thyroiditis", "low thyroid on synthroid"),
        ("2449",), ("levothyroxine",), 0.12, 20, family="thyroid disease",
    ),
    Condition(
        "reflux",
        ("GERD", "reflux", "gastroesophageal reflux disease", "acid reflux"),
        ("53081",),
        ("omeprazole", "pantoprazole", "ranitidine", "esomeprazole"),
        0.2, 15,
    ),
    Condition(
        "ulcer",
        ("PUD", "peptic ulcer disease", "h/o duodenal ulcer", "remote gastric ulcer"),
        ("V1271", "53390"), ("pantoprazole", "omeprazole"), 0.04, 30,
    ),
    Condition(
        "osteoporosis",
        ("osteoporosis", "osteopenia", "low bone density on fosamax"),
        ("73300",), ("alendronate",), 0.1, 50, sex="F",
    ),
    Condition(
        "osteoarthritis",
        ("OA", "osteoarthritis", "DJD", "degenerative joint disease"),
        ("71590", "71536"), ("acetaminophen", "tramadol"), 0.12, 40, graded=True,
    ),
    Condition(
        "rheumatoid arthritis",
        ("RA", "rheumatoid arthritis", "RA on MTX", "seropositive rheumatoid arthritis"),
        ("7140",),
        ("methotrexate", "prednisone", "hydroxychloroquine"),
        0.025, 25, 0.05, 0.1, graded=True,
    ),
    Condition(
        "gout", ("gout", "gouty arthritis", "podagra"), ("2749", "27400"), ("allopurinol", "colchicine"), 0.07, 35,
    ),
    Condition(
        "lupus",
        ("SLE", "lupus", "systemic lupus erythematosus", "lupus nephritis"),
        ("7100",),
        ("hydroxychloroquine", "prednisone", "mycophenolate"),
        0.012, 12, 0.05, 0.15, graded=True,
    ),
    Condition(
        "breast cancer",
        ("breast cancer", "breast CA s/p lumpectomy", "h/o breast ca s/p mastectomy and XRT", "ER+ breast cancer"),
        ("V103", "1749"), ("tamoxifen", "anastrozole"), 0.07, 35, 0.05, sex="F", family="breast cancer",
    ),
    Condition(
        "prostate cancer",
        ("prostate cancer", "prostate CA s/p XRT", "h/o prostate ca s/p prostatectomy", "prostate cancer on lupron"),
        ("V1046", "185"), ("leuprolide",), 0.08, 50, 0.05, sex="M", family="prostate cancer",
    ),
    Condition(
        "lung cancer",
        (
            "lung cancer", "NSCLC", "non-small cell lung cancer", "lung CA s/p lobectomy",
            "stage IIIB lung adenocarcinoma", "small cell lung ca",
        ),
        ("1629", "1623"), ("prednisone", "oxycodone"), 0.03, 40, 0.6, 0.1, 0.2, family="lung cancer",
    ),
    Condition(
        "colon cancer",
        ("colon cancer", "colon CA s/p resection", "colorectal cancer on FOLFOX", "h/o colon ca"),
        ("V1005", "1539"), (), 0.03, 40, 0.1, 0.05, family="colon cancer",
    ),
    Condition(
        "metastases",
        (
            "metastatic disease", "widely metastatic cancer", "mets to liver and bone", "brain mets",
            "stage IV disease on palliative chemo", "hepatic metastases",
        ),
        ("1977", "1985", "1983", "1970"), ("oxycodone", "lorazepam"), 0.035, 35, 0.95, 0.1, 0.1,
    ),
    Condition(
        "lymphoma",
        ("NHL", "non-Hodgkin's lymphoma", "DLBCL s/p R-CHOP", "follicular lymphoma", "lymphoma on rituximab"),
        ("20280", "20200"),
        ("allopurinol", "sulfamethoxazole-trimethoprim"),
        0.015, 30, 0.4, 0.3, 0.1, family="lymphoma",
    ),
    Condition(
        "leukemia",
        ("AML", "acute myeloid leukemia", "AML s/p 7+3", "CML on gleevec", "CLL", "leukemia s/p allo-SCT"),
        ("20500", "20510", "20410"),
        ("imatinib", "allopurinol", "sulfamethoxazole-trimethoprim"),
        0.012, 25, 0.6, 0.5, 0.2, family="leukemia",
    ),
    Condition(
        "myeloma",
        ("multiple myeloma", "myeloma on velcade", "MM s/p auto-SCT"),
        ("20300",), ("prednisone",), 0.01, 45, 0.4, 0.2,
    ),
    Condition(
        "HIV",
        ("HIV", "HIV on HAART", "AIDS", "HIV (CD4 120)"),
        ("042", "V08"),
        ("efavirenz-emtricitabine-tenofovir", "sulfamethoxazole-trimethoprim"),
        0.015, 18, 0.15, 0.1, 0.1,
    ),
    Condition(
        "injection drugs",
        ("IVDU", "heroin abuse", "IV drug use", "opioid dependence on methadone", "polysubstance abuse"),
        ("30550", "30400", "30490"), ("methadone",), 0.012, 12, 0.0, 0.1,
    ),
    Condition(
        "obesity",
        ("obesity", "morbid obesity", "morbidly obese (BMI 46)", "BMI 42"),
        ("27801", "27800"), (), 0.09, 15, 0.0, 0.1, 0.35, graded=True,
    ),
    Condition(
        "sleep apnea",
        ("OSA", "sleep apnea", "obstructive sleep apnea on CPAP", "OSA on BiPAP at night"),
        ("32723",), (), 0.07, 25, breath=0.2,
    ),
    Condition(
        "peripheral vascular disease",
        ("PVD", "peripheral vascular disease", "PAD s/p fem-pop bypass", "claudication"),
        ("4439", "44021"),
        ("aspirin", "clopidogrel", "simvastatin"),
        0.09, 40, 0.15, 0.15, family="vascular disease", graded=True,
    ),
    Condition(
        "aortic aneurysm",
        ("AAA", "abdominal aortic aneurysm", "4.5 cm infrarenal AAA"),
        ("4414",), ("atenolol",), 0.025, 55, 0.05, family="an aneurysm",
    ),
    Condition(
        "aortic stenosis",
        ("AS", "aortic stenosis", "severe AS (valve area 0.7)", "critical aortic stenosis"),
        ("4241",), ("furosemide",), 0.06, 50, 0.15, 0.1, 0.1, graded=True,
    ),
    Condition(
        "mitral regurgitation",
        ("MR", "mitral regurgitation", "3+ MR", "mitral valve prolapse", "MVP"),
        ("4240",), (), 0.05, 35, graded=True,
    ),
    Condition(
        "pacemaker",
        ("PPM", "s/p pacemaker", "dual chamber pacemaker for SSS", "pacer"),
        ("V4501",), (), 0.06, 55,
    ),
    Condition(
        "defibrillator",
        ("AICD", "s/p ICD", "BiV ICD", "implantable defibrillator"),
        ("V4502",), ("amiodarone",), 0.025, 45, 0.15,
    ),
    Condition(
        "bypass surgery",
        ("s/p CABG", "CABG x4", "prior bypass surgery", "s/p CABG (LIMA-LAD, SVG-OM)"),
        ("V4581",), ("aspirin", "metoprolol"), 0.09, 45,
    ),
    Condition(
        "coronary stent",
        ("s/p PCI", "s/p DES to LAD", "BMS to RCA", "prior stents", "s/p PTCA"),
        ("V4582",), ("clopidogrel", "aspirin"), 0.09, 40,
    ),
    Condition(
        "thrombosis",
        ("h/o DVT", "prior PE", "h/o DVT/PE", "recurrent DVT s/p IVC filter", "venous thromboembolism"),
        ("V1251",), ("warfarin",), 0.045, 25, 0.05, 0.05, family="blood clots",
    ),
    Condition(
        "anemia",
        ("anemia", "chronic anemia", "iron deficiency anemia", "baseline Hct 30", "anemia of chronic disease"),
        ("2859", "2809", "28521"), ("ferrous sulfate", "epoetin"), 0.13, 20, 0.05, 0.1, graded=True,
    ),
    Condition(
        "prostate enlargement",
        ("BPH", "benign prostatic hypertrophy", "enlarged prostate", "BPH s/p TURP"),
        ("60000",),
        ("tamsulosin", "finasteride", "doxazosin"),
        0.16, 48, sex="M",
    ),
    Condition(
        "kidney stones",
        ("nephrolithiasis", "kidney stones", "h/o renal calculi"),
        ("V1301", "5920"), (), 0.03, 20,
    ),
    Condition(
        "neuropathy",
        ("peripheral neuropathy", "diabetic neuropathy", "neuropathic pain on neurontin"),
        ("3569", "3572"), ("gabapentin",), 0.05, 35, graded=True,
    ),
    Condition(
        "retinopathy",
        ("diabetic retinopathy", "legally blind", "proliferative retinopathy s/p laser"),
        ("36201", "3694"), (), 0.025, 35,
    ),
    Condition(
        "Crohn's disease",
        ("Crohn's disease", "Crohn's", "regional enteritis s/p ileal resection"),
        ("5559",),
        ("mesalamine", "azathioprine", "infliximab"),
        0.012, 10, 0.0, 0.1, graded=True,
    ),
    Condition(
        "ulcerative colitis",
        ("ulcerative colitis", "UC", "UC on asacol", "IBD"),
        ("5569",), ("mesalamine", "prednisone"), 0.012, 12, graded=True,
    ),
    Condition(
        "diverticulosis",
        ("diverticulosis", "diverticular disease", "h/o diverticulitis"),
        ("56210",), (), 0.06, 45,
    ),
    Condition(
        "pulmonary hypertension",
        ("pulmonary hypertension", "pulm HTN", "pHTN on home O2", "cor pulmonale"),
        ("4160", "4168"), ("sildenafil", "furosemide"), 0.035, 40, 0.3, 0.15, 0.25, graded=True,
    ),
    Condition(
        "pulmonary fibrosis",
        ("pulmonary fibrosis", "IPF", "interstitial lung disease", "ILD on prednisone"),
        ("515", "5163"), ("prednisone", "azathioprine"), 0.018, 50, 0.55, 0.1, 0.45, graded=True,
    ),
    Condition(
        "home oxygen",
        ("home oxygen", "on 2L home O2", "O2 dependent", "3L NC at baseline"),
        ("V462",), (), 0.03, 55, 0.25, 0.05, 0.25,
    ),
    Condition(
        "kidney transplant",
        ("s/p renal transplant", "kidney transplant", "s/p LRRT", "cadaveric renal transplant on prograf"),
        ("V420",),
        ("tacrolimus", "mycophenolate", "prednisone", "cyclosporine"),
        0.012, 25, 0.1, 0.2,
    ),
    Condition(
        "multiple sclerosis",
        ("MS", "multiple sclerosis", "secondary progressive MS", "wheelchair bound from MS"),
        ("340",), ("baclofen",), 0.01, 20, 0.05, 0.1, 0.15, graded=True,
    ),
    Condition(
        "migraine",
        ("migraines", "migraine headaches", "chronic HA"),
        ("34690",), ("sumatriptan", "propranolol"), 0.04, 10,
    ),
    Condition(
        "glaucoma",
        ("glaucoma", "open angle glaucoma", "glaucoma on xalatan"),
        ("3659",), ("latanoprost", "timolol"), 0.05, 45, family="glaucoma",
    ),
    Condition(
        "psoriasis",
        ("psoriasis", "psoriatic plaques", "psoriatic arthritis"),
        ("6961", "6960"), ("methotrexate",), 0.015, 15, graded=True,
    ),
    Condition(
        "chronic pain",
        ("chronic low back pain", "chronic pain on oxycontin", "spinal stenosis", "lumbar DJD", "chronic LBP"),
        ("7242", "72402", "33829"), ("oxycodone", "gabapentin", "tramadol"), 0.1, 25, graded=True,
    ),
    Condition(
        "paraplegia",
        ("paraplegia", "T6 paraplegic", "quadriplegia with chronic foley", "wheelchair bound, spinal cord injury"),
        ("3441", "34400"), ("baclofen",), 0.008, 8, 0.1, 0.25, 0.35,
    ),
    Condition(
        "insomnia",
        ("insomnia", "poor sleep on ambien", "chronic insomnia"),
        ("78052",), ("zolpidem", "trazodone"), 0.05, 20,
    ),
    Condition(
        "overactive bladder",
        ("urinary incontinence", "overactive bladder", "urge incontinence"),
        ("78830", "59651"), ("tolterodine",), 0.04, 45,
    ),
)  # fmt: skip

CONDITION = {condition.key: condition for condition in CONDITIONS}

# How severe a graded condition is, as the notes say it; by level 0 (mild), 1 (nothing said), 2 (severe).
LEVEL_WORDS = (("mild", "well controlled", "stable"), ("",), ("severe", "advanced", "poorly controlled"))
