"""The long tail of diagnoses and procedures: some hundreds of codes, most of them rare, each with the words that give it away.

A line is `code|title|words in notes` (alternatives separated by commas); without the third part the notes use the title itself.
Earlier lines are commoner: the n-th is drawn in proportion to 1 / (n + 12), which looks like the tail of a real code table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TailCode:
    """A rare code and the words with which a note mentions it."""

    code: str
    title: str
    words: tuple[str, ...]


_DIAGNOSES = """
V5861|Long-term use of anticoagulants|on anticoagulation,long term coumadin,INR followed in clinic
V5867|Long-term use of insulin|on insulin,insulin requiring
V1582|Personal history of tobacco use|ex-smoker,former smoker,quit tobacco
4439|Peripheral vascular disease, unspecified|poor peripheral pulses,PVD
V4579|Acquired absence of organ|s/p cholecystectomy,s/p CCY,s/p splenectomy
V4364|Hip joint replacement status|s/p THR,s/p hip replacement,R THR
V4365|Knee joint replacement status|s/p TKR,bilateral knee replacements
V180|Family history of diabetes mellitus|strong family hx of DM
4552|Internal hemorrhoids|hemorrhoids
5533|Diaphragmatic hernia|hiatal hernia,large hiatal hernia
V4573|Acquired absence of kidney|s/p nephrectomy,solitary kidney
V1272|Personal history of colonic polyps|colon polyps,s/p polypectomy
3899|Hearing loss, unspecified|HOH,hard of hearing,hearing aids
36616|Nuclear sclerosis|cataracts,s/p cataract surgery
7820|Disturbance of skin sensation|numbness of the hands,paresthesias
28529|Anemia of other chronic disease|AOCD
2113|Benign neoplasm of colon|adenomatous polyp
5990|Urinary tract infection|recurrent UTIs,recent UTI
7291|Myalgia and myositis|fibromyalgia
24290|Thyrotoxicosis|hyperthyroidism,Graves disease
2410|Nontoxic uninodular goiter|thyroid nodule,goiter
27541|Hypocalcemia|low calcium
27542|Hypercalcemia|hypercalcemia,high calcium
25200|Hyperparathyroidism|primary hyperparathyroidism,elevated PTH
2639|Protein-calorie malnutrition|malnutrition,poor nutritional status
2662|Vitamin B-complex deficiency|B12 deficiency
2689|Vitamin D deficiency|vitamin D deficiency
2752|Disorders of magnesium metabolism|hypomagnesemia
2777|Dysmetabolic syndrome X|metabolic syndrome
2800|Iron deficiency anemia from chronic blood loss|heavy menses with anemia
2810|Pernicious anemia|pernicious anemia on monthly B12
2822|Anemias due to disorders of glutathione metabolism|G6PD deficiency
28260|Sickle-cell disease|sickle cell disease
2841|Pancytopenia|pancytopenia
2870|Allergic purpura|HSP,Henoch-Schonlein purpura
28981|Primary hypercoagulable state|factor V Leiden,protein S deficiency
28850|Leukocytopenia|leukopenia
2387|Myelodysplastic syndrome|MDS,myelodysplasia,transfusion dependent MDS
2384|Polycythemia vera|polycythemia vera,P vera on phlebotomy
2273|Benign neoplasm of pituitary gland|pituitary adenoma,s/p transsphenoidal resection
2189|Leiomyoma of uterus|fibroids,uterine fibroids
2148|Lipoma|lipoma
1890|Malignant neoplasm of kidney|renal cell carcinoma,RCC
1889|Malignant neoplasm of bladder|bladder cancer,TCC of bladder
1830|Malignant neoplasm of ovary|ovarian cancer,s/p TAH/BSO for ovarian ca
1820|Malignant neoplasm of corpus uteri|endometrial cancer
1809|Malignant neoplasm of cervix|cervical cancer
1579|Malignant neoplasm of pancreas|pancreatic cancer,pancreatic adenoca
1550|Malignant neoplasm of liver|HCC,hepatocellular carcinoma,hepatoma
1561|Malignant neoplasm of extrahepatic bile ducts|cholangiocarcinoma
1519|Malignant neoplasm of stomach|gastric cancer
1505|Malignant neoplasm of esophagus|esophageal cancer,esophageal adenocarcinoma
1419|Malignant neoplasm of tongue|tongue cancer,SCC of tongue s/p XRT
1619|Malignant neoplasm of larynx|laryngeal cancer s/p laryngectomy
193|Malignant neoplasm of thyroid gland|thyroid cancer,papillary thyroid ca
1729|Malignant melanoma of skin|melanoma
1733|Other malignant neoplasm of skin of face|basal cell carcinoma,BCC of the nose
1739|Other malignant neoplasm of skin|skin cancer,squamous cell ca of the scalp
1869|Malignant neoplasm of testis|testicular cancer
1719|Malignant neoplasm of soft tissue|sarcoma,leiomyosarcoma
1709|Malignant neoplasm of bone|osteosarcoma
1960|Secondary neoplasm of lymph nodes of neck|neck nodes,cervical lymphadenopathy
1950|Malignant neoplasm of head, face and neck|head and neck cancer
20150|Hodgkin's disease|Hodgkin's,Hodgkin lymphoma s/p ABVD
2391|Neoplasm of unspecified nature of respiratory system|pulmonary nodules
27789|Other disorders of metabolism|carnitine deficiency
2731|Monoclonal paraproteinemia|MGUS
2733|Macroglobulinemia|Waldenstrom's
27739|Amyloidosis|amyloidosis,cardiac amyloid
2750|Disorders of iron metabolism|hemochromatosis
2713|Disaccharide malabsorption|lactose intolerance
2765|Volume depletion|volume depleted,dehydration
2766|Fluid overload|fluid overloaded,volume overload
2769|Electrolyte disorders|chronic hypokalemia
2535|Diabetes insipidus|DI,diabetes insipidus on DDAVP
2554|Corticoadrenal insufficiency|adrenal insufficiency,Addison's
2550|Cushing's syndrome|Cushing's
0529|Varicella|chicken pox
0539|Herpes zoster|shingles,zoster
0549|Herpes simplex|oral herpes,HSV
0705|Other viral hepatitis|hep B,HBV
0119|Pulmonary tuberculosis|TB,old TB,treated tuberculosis
0312|Disseminated mycobacterial disease|MAC
1123|Candidiasis of skin and nails|groin yeast rash
1120|Candidiasis of mouth|thrush
1173|Aspergillosis|aspergillus,aspergilloma
1363|Pneumocystosis|PCP,h/o PCP pneumonia
0088|Intestinal infection due to other organism|viral gastroenteritis
0388|Other specified septicemia|fungemia
0412|Pneumococcus infection|pneumococcal bacteremia
0340|Streptococcal sore throat|strep throat
0088|Other viral enteritis|norovirus
0971|Latent syphilis|syphilis,positive RPR
0888|Other specified arthropod-borne diseases|Lyme disease,lyme
135|Sarcoidosis|sarcoid,sarcoidosis
1330|Scabies|scabies
29410|Dementia in conditions classified elsewhere|Lewy body dementia
2930|Delirium|h/o post-op delirium
29281|Drug-induced delirium|delirium on ambien
3004|Dysthymic disorder|dysthymia
30183|Borderline personality disorder|borderline personality
3071|Anorexia nervosa|anorexia nervosa,eating disorder
30981|Posttraumatic stress disorder|PTSD
31401|Attention deficit disorder with hyperactivity|ADHD,ADD
317|Mild mental retardation|mental retardation,developmental delay
3181|Severe mental retardation|severe MR,group home resident
30560|Cocaine abuse|cocaine use,crack cocaine
30520|Cannabis abuse|marijuana use
3239|Encephalitis|h/o encephalitis
3249|Intracranial abscess|brain abscess
3314|Obstructive hydrocephalus|hydrocephalus,VP shunt
3330|Degenerative diseases of basal ganglia|multiple system atrophy,PSP
33394|Restless legs syndrome|RLS,restless legs
3331|Essential tremor|essential tremor
3352|Amyotrophic lateral sclerosis|ALS,motor neuron disease
3361|Vascular myelopathies|spinal cord infarct
3439|Cerebral palsy|cerebral palsy,CP
3484|Compression of brain|herniation
3501|Trigeminal neuralgia|trigeminal neuralgia
3510|Bell's palsy|Bell's palsy
3540|Carpal tunnel syndrome|carpal tunnel,CTS
3559|Mononeuritis|foot drop
3572|Polyneuropathy in diabetes|stocking glove neuropathy
3591|Hereditary muscular dystrophy|muscular dystrophy
3619|Retinal detachment|retinal detachment
36250|Macular degeneration|macular degeneration,AMD
3688|Visual disturbances|blurry vision
3699|Visual loss|blind in the R eye
37230|Conjunctivitis|pink eye,conjunctivitis
37855|External ophthalmoplegia|sixth nerve palsy
3804|Impacted cerumen|ear wax
38610|Peripheral vertigo|BPPV,vertigo
3829|Otitis media|ear infections
3940|Mitral stenosis|mitral stenosis,rheumatic MS
3970|Diseases of tricuspid valve|tricuspid regurgitation,4+ TR
39891|Rheumatic heart failure|rheumatic heart disease,rheumatic fever as a child
40390|Hypertensive chronic kidney disease|hypertensive nephropathy
40291|Hypertensive heart disease|LVH,hypertensive heart disease
4139|Angina pectoris|stable angina
4148|Chronic ischemic heart disease|LV aneurysm
4149|Ischemic heart disease, unspecified|silent ischemia
4169|Chronic pulmonary heart disease|RV failure
4200|Acute pericarditis|pericarditis
4239|Disease of pericardium|pericardial effusion
4251|Hypertrophic cardiomyopathy|HOCM,hypertrophic obstructive cardiomyopathy
4254|Other primary cardiomyopathies|nonischemic cardiomyopathy,dilated cardiomyopathy
4263|Left bundle branch block|LBBB
4264|Right bundle branch block|RBBB
42610|Atrioventricular block|first degree AV block
4270|Paroxysmal supraventricular tachycardia|SVT,PSVT s/p ablation
4279|Cardiac dysrhythmia|PVCs,ectopy
4294|Functional disturbances following cardiac surgery|postpericardiotomy syndrome
4329|Intracranial hemorrhage|remote ICH
43310|Carotid artery stenosis|carotid stenosis,s/p CEA
4359|Transient cerebral ischemia|TIA,TIAs
4373|Cerebral aneurysm|unruptured cerebral aneurysm
44101|Dissection of aorta|type B dissection,aortic dissection
4412|Thoracic aneurysm|thoracic aneurysm,ascending aortic aneurysm
4401|Atherosclerosis of renal artery|renal artery stenosis,RAS
4430|Raynaud's syndrome|Raynaud's
4465|Giant cell arteritis|temporal arteritis,GCA,PMR
4464|Wegener's granulomatosis|Wegener's,ANCA vasculitis
4471|Stricture of artery|subclavian stenosis
4511|Phlebitis of deep vessels|thrombophlebitis
45981|Venous insufficiency|venous stasis,chronic venous stasis
4549|Varicose veins|varicose veins,vein stripping
4580|Orthostatic hypotension|orthostasis,orthostatic
4571|Lymphedema|lymphedema
4619|Sinusitis|sinusitis,sinus surgery
470|Deviated nasal septum|deviated septum
4779|Allergic rhinitis|seasonal allergies,hay fever
4784|Polyp of vocal cord|vocal cord polyp
47830|Vocal cord paralysis|vocal cord paralysis,hoarse voice
48283|Pneumonia due to gram-negative bacteria|prior pseudomonas pneumonia
4870|Influenza with pneumonia|influenza,flu
4940|Bronchiectasis|bronchiectasis
4919|Chronic bronchitis|daily cough with sputum
501|Asbestosis|asbestosis,asbestos exposure,pleural plaques
5110|Pleurisy|pleurisy
5128|Pneumothorax|spontaneous pneumothorax
5130|Abscess of lung|lung abscess
5180|Pulmonary collapse|atelectasis
5191|Tracheobronchial disease|tracheomalacia,tracheal stenosis
V440|Tracheostomy status|trach,trach dependent
V441|Gastrostomy status|G tube,PEG tube
V443|Colostomy status|colostomy,ostomy
V442|Ileostomy status|ileostomy
V5865|Long-term use of steroids|chronic steroids,steroid dependent
V5866|Long-term use of aspirin|daily baby aspirin
V4611|Dependence on respirator|chronic ventilator
V4983|Awaiting organ transplant|on the transplant list
V427|Liver replaced by transplant|s/p liver transplant,OLT
V421|Heart replaced by transplant|s/p heart transplant
V426|Lung replaced by transplant|s/p lung transplant
V433|Heart valve replacement|mechanical AVR,St. Jude valve,s/p MVR
V422|Heart valve replaced by transplant|bioprosthetic valve,porcine AVR
V452|Cerebrospinal fluid drainage device|VP shunt in place
V1083|History of skin malignancy|h/o skin ca
V1052|History of kidney malignancy|h/o RCC
V1051|History of bladder malignancy|h/o bladder ca
V1011|History of lung malignancy|remote lung ca
V1082|History of melanoma|remote melanoma resection
V1072|History of Hodgkin's disease|mantle radiation
V1085|History of brain malignancy|resected brain tumor
V160|Family history of GI malignancy|FHx of colon ca
V173|Family history of ischemic heart disease|strong FHx of early MI
V163|Family history of breast malignancy|BRCA carrier
V140|Allergy to penicillin|PCN allergic
V142|Allergy to sulfonamides|sulfa allergic
V1508|Allergy to radiographic dye|contrast allergy
V153|Personal history of irradiation|chest XRT
V1581|Noncompliance with treatment|medication noncompliance,non-compliant with meds
V600|Lack of housing|homeless,lives in a shelter
V620|Unemployment|unemployed
V090|Infection with drug-resistant organism|MRSA carrier,MRSA colonized
V0254|Carrier of MRSA|nasal MRSA
V1241|History of benign brain neoplasm|h/o meningioma
V1209|History of infectious disease|h/o malaria
V1202|History of poliomyelitis|polio as a child
V667|Palliative care|followed by palliative care
V854|Body mass index 40 and over|BMI over 40
V8741|History of chemotherapy|received chemotherapy
V4975|Below knee amputation|s/p BKA,L BKA
V4976|Above knee amputation|s/p AKA
V4986|Do not resuscitate status|DNR
V454|Arthrodesis status|prior spinal fusion
V4586|Bariatric surgery status|s/p gastric bypass
V5331|Fitting of cardiac pacemaker|generator change
V641|Procedure not carried out|aborted procedure
V707|Examination of participant in clinical trial|on a clinical trial
V1365|Congenital heart malformation corrected|repaired ASD
V222|Pregnant state|pregnant,G2P1
V270|Outcome of delivery, single liveborn|recent delivery,postpartum
5210|Dental caries|dental caries,poor dentition
5259|Disorder of teeth|dentures
5277|Disturbance of salivary secretion|dry mouth,sicca
5289|Diseases of oral soft tissues|mouth sores
5300|Achalasia|achalasia
53013|Eosinophilic esophagitis|eosinophilic esophagitis
5303|Stricture of esophagus|esophageal stricture,s/p dilation
5307|Mallory-Weiss tear|Mallory-Weiss tear
5363|Gastroparesis|gastroparesis
5368|Dyspepsia|dyspepsia
5379|Disorder of stomach and duodenum|angioectasia of duodenum
5409|Appendicitis|s/p appendectomy,appy
55090|Inguinal hernia|inguinal hernia repair,hernia
5531|Umbilical hernia|umbilical hernia
5641|Irritable bowel syndrome|IBS,irritable bowel
56400|Constipation|constipation,chronic constipation
5651|Anal fistula|perianal fistula
566|Abscess of anal and rectal regions|perirectal abscess
5679|Peritonitis|prior peritonitis
5699|Disorder of intestine|AVMs
5715|Cirrhosis without alcohol|cryptogenic cirrhosis
5718|Nonalcoholic liver disease|NASH,fatty liver
5733|Hepatitis|autoimmune hepatitis
5739|Liver disorder|elevated LFTs
57410|Gallstones with cholecystitis|gallstones
5758|Disorder of gallbladder|porcelain gallbladder
5768|Disorder of biliary tract|PSC,primary sclerosing cholangitis
5771|Chronic pancreatitis|chronic pancreatitis
5790|Celiac disease|celiac sprue,celiac disease
5801|Glomerulonephritis|glomerulonephritis
5819|Nephrotic syndrome|nephrotic syndrome,proteinuria
5839|Nephritis|FSGS
5880|Renal osteodystrophy|renal osteodystrophy
591|Hydronephrosis|hydronephrosis,ureteral stent
59010|Pyelonephritis|pyelonephritis
5939|Disorder of kidney and ureter|renal cysts
5950|Cystitis|interstitial cystitis
5960|Bladder neck obstruction|bladder outlet obstruction
5989|Urethral stricture|urethral stricture
5997|Hematuria|hematuria
7880|Renal colic|flank pain
6010|Prostatitis|prostatitis
6039|Hydrocele|hydrocele
60784|Impotence of organic origin|erectile dysfunction
6110|Inflammatory disease of breast|mastitis
6149|Pelvic inflammatory disease|PID
6171|Endometriosis|endometriosis
6183|Uterovaginal prolapse|uterine prolapse,pessary
6202|Ovarian cyst|ovarian cyst
6262|Excessive menstruation|menorrhagia
6272|Menopausal states|hot flashes
64241|Pre-eclampsia|preeclampsia
65421|Previous cesarean delivery|C-section x 2
6822|Cellulitis of trunk|abdominal wall cellulitis
6851|Pilonidal cyst|pilonidal cyst
68600|Pyoderma|pyoderma gangrenosum
6918|Atopic dermatitis|eczema
6929|Contact dermatitis|contact dermatitis
6930|Drug eruption|drug rash
6944|Pemphigus|bullous pemphigoid
6953|Rosacea|rosacea
7019|Hypertrophic skin conditions|keloids
7048|Diseases of hair|folliculitis
70714|Ulcer of heel|heel ulcer
7089|Urticaria|hives
7101|Systemic sclerosis|scleroderma,CREST
7102|Sicca syndrome|Sjogren's
7109|Connective tissue disease|MCTD
71106|Pyogenic arthritis|septic knee
71236|Chondrocalcinosis|pseudogout
7179|Internal derangement of knee|meniscal tear
71881|Joint disorder of shoulder|frozen shoulder
7197|Difficulty walking|walks with a walker
7200|Ankylosing spondylitis|ankylosing spondylitis
7210|Cervical spondylosis|cervical spondylosis
72210|Lumbar disc displacement|herniated disc,L4-5 disc
7231|Cervicalgia|neck pain
725|Polymyalgia rheumatica|polymyalgia rheumatica
72610|Rotator cuff disorder|rotator cuff tear
72871|Plantar fasciitis|plantar fasciitis
72888|Rhabdomyolysis|rhabdo
73028|Osteomyelitis|osteomyelitis
7310|Paget's disease of bone|Paget's disease
73313|Pathologic fracture of vertebrae|compression fractures,vertebral compression fx
7350|Hallux valgus|bunions
73730|Scoliosis|scoliosis
7384|Spondylolisthesis|spondylolisthesis
7419|Spina bifida|spina bifida
7455|Atrial septal defect|PFO,ASD
7464|Bicuspid aortic valve|bicuspid valve
7473|Anomalies of pulmonary artery|pulmonary AVM
7510|Meckel's diverticulum|Meckel's
75312|Polycystic kidney|PKD,polycystic kidney disease
7580|Down's syndrome|Down syndrome,trisomy 21
7596|Hamartoses|tuberous sclerosis
75982|Marfan syndrome|Marfan's
78039|Convulsions|childhood convulsions
78057|Sleep apnea, unspecified|snores heavily
7813|Lack of coordination|ataxia,gait ataxia
78321|Loss of weight|weight loss
7840|Headache|headaches
7843|Aphasia|residual aphasia
7847|Epistaxis|nose bleeds,epistaxis
7850|Tachycardia|sinus tachycardia
78609|Respiratory abnormality|DOE at one block
7863|Hemoptysis|hemoptysis
78650|Chest pain|atypical chest pain
7870|Nausea and vomiting|chronic nausea
78720|Dysphagia|dysphagia,trouble swallowing
78791|Diarrhea|loose stools
78820|Retention of urine|urinary retention,straight caths
78900|Abdominal pain|chronic abdominal pain
7904|Elevation of transaminase|transaminitis
79092|Abnormal coagulation profile|elevated INR
7931|Abnormal findings on lung field|lung nodule
7945|Abnormal thyroid function|abnormal TFTs
7962|Elevated blood pressure|white coat hypertension
8020|Fracture of nasal bones|broken nose
80126|Fracture of skull base|basilar skull fracture
81201|Fracture of humerus|humerus fracture
81342|Fracture of radius|wrist fracture,distal radius fx
8240|Fracture of ankle|ankle fracture,bimalleolar fx
82382|Fracture of tibia and fibula|tib-fib fx
8220|Fracture of patella|patella fracture
8251|Fracture of tarsal bones|heel fracture
8360|Dislocation of knee|knee dislocation
8310|Dislocation of shoulder|shoulder dislocation
8470|Sprain of neck|whiplash
8500|Concussion|concussion
8600|Traumatic pneumothorax|traumatic PTX
8640|Injury to liver|liver laceration
8670|Injury to pelvic organs|bladder rupture
87342|Open wound of forehead|forehead lac
8820|Open wound of hand|hand laceration
9100|Superficial injury of face|facial abrasions
9201|Contusion of face|black eye
9331|Foreign body in larynx|food impaction
9351|Foreign body in esophagus|swallowed coin
9584|Traumatic shock|hemorrhagic shock after injury
9604|Poisoning by antibiotics|antibiotic reaction
9620|Poisoning by steroids|steroid psychosis
9800|Toxic effect of alcohol|methanol ingestion
9898|Toxic effect of substances|smoke inhalation
9910|Effects of cold|frostbite
9916|Hypothermia|hypothermia,found outdoors in the cold
9920|Heat stroke|heat stroke
99527|Drug allergy|anaphylaxis to contrast
9962|Mechanical complication of device|hardware failure
99662|Infection due to vascular device|line infection
99673|Complication of dialysis device|clotted AV graft
99681|Complications of transplanted kidney|chronic allograft nephropathy
99811|Hemorrhage complicating a procedure|post-procedure hematoma
99859|Postoperative infection|wound infection,wound dehiscence
9992|Vascular complications of medical care|femoral pseudoaneurysm
E9342|Anticoagulants causing adverse effects|bleeding on coumadin
E9331|Antineoplastics causing adverse effects|toxicity of chemotherapy
E9320|Corticosteroids causing adverse effects|hyperglycemia from steroids
E9352|Opiates causing adverse effects|somnolence from narcotics
E9308|Antibiotics causing adverse effects|rash from bactrim
E9394|Tranquilizers causing adverse effects|oversedation from benzos
E9426|Antihypertensives causing adverse effects|dizziness from BP meds
E9444|Diuretics causing adverse effects|dehydration on diuretics
E8782|Surgical operation with anastomosis|leak after bypass surgery
E8788|Other surgical operation|after recent operation
E8790|Cardiac catheterization complication|groin bleed after cath
E8792|Radiological procedure complication|radiation injury
E8497|Accident in residential institution|event at the nursing facility
E8490|Home accident|accident at home
E8495|Street accident|accident on the street
E8844|Fall from bed|fell out of bed
E8842|Fall from chair|fell from a chair
E8846|Fall from commode|fell off the commode
E8859|Fall from slipping|slipped on ice
E8809|Fall on stairs|tumbled on the steps
E8861|Fall in sport|collision during a game
E8190|Traffic accident|car accident
E8130|Collision with other vehicle|rear-ended
E8261|Pedal cycle accident|fell off a bicycle
E8288|Animal-riding accident|thrown from a horse
E8147|Pedestrian accident|hit in a crosswalk
E9600|Unarmed fight|punched in a bar fight
E9660|Assault by cutting|stabbed
E9654|Assault by firearm|gun shot wound,GSW
E9550|Suicide by firearm|self-inflicted gunshot
E9500|Suicide by analgesics|took a bottle of percocet
E9503|Suicide by tranquilizers|took extra klonopin
E9538|Suicide by hanging|attempted hanging
E9288|Unspecified accident|unknown mechanism
E9179|Striking against object|hit head on a cabinet
E9060|Dog bite|dog bite
E9063|Bite of other animal|cat bite
E9270|Overexertion|lifting furniture
E9208|Cut by object|cut with a kitchen knife
E9240|Hot liquid burn|hot coffee spill
E9010|Excessive cold|cold exposure
E9110|Choking on food|choked on steak
E8540|Accidental poisoning by antidepressants|took a double dose of elavil
E8502|Accidental poisoning by opiates|extra oxycontin by mistake
"""

_PROCEDURES = """
9904|Transfusion of packed cells|transfusion
9907|Transfusion of serum|FFP
9905|Transfusion of platelets|platelet transfusion
8872|Diagnostic ultrasound of heart|TTE,echocardiogram
4516|EGD with closed biopsy|endoscopy with biopsy
4523|Colonoscopy|colonoscopy
3995|Hemodialysis|dialysis session,HD
3324|Closed bronchial biopsy|bronchoscopy,bronch with BAL
3323|Other bronchoscopy|therapeutic bronchoscopy
8741|CAT scan of thorax|chest CT
8801|CAT scan of abdomen|CT abdomen
8703|CAT scan of head|head CT
9339|Physical therapy|physical therapy
966|Enteral infusion of nutrition|tube feeds
9915|Parenteral nutrition|TPN
387|Interruption of vena cava|IVC filter
3950|Angioplasty of other vessel|angioplasty of the leg
3990|Insertion of non-coronary stent|iliac stent
3812|Endarterectomy of head and neck vessels|carotid endarterectomy
0061|Percutaneous angioplasty of extracranial vessel|carotid stenting
0063|Insertion of carotid artery stent|carotid stent
0050|Implantation of resynchronization pacemaker|BiV pacer upgrade
0051|Implantation of resynchronization defibrillator|BiV ICD upgrade
3794|Implantation of defibrillator|ICD placement
3734|Excision of heart lesion by catheter|ablation
3726|Electrophysiologic stimulation|EP study
3927|Arteriovenostomy for dialysis|AV fistula creation
3942|Revision of shunt for dialysis|fistula revision
3943|Removal of shunt|AV graft removal
3949|Revision of vascular procedure|graft thrombectomy
3722|Left heart catheterization|cardiac catheterization
3723|Right and left heart catheterization|right heart cath
370|Pericardiocentesis|pericardial tap
3712|Pericardiotomy|pericardial window
3510|Open valvuloplasty|balloon valvuloplasty
3533|Annuloplasty|annuloplasty ring
3751|Heart transplantation|heart transplantation
3766|Implantation of heart assist system|LVAD
3845|Resection of thoracic vessel|ascending aorta replacement
3834|Resection of aorta|aortic graft
3925|Aorta-iliac bypass|aortobifemoral bypass
3929|Vascular shunt or bypass|fem-pop bypass
8417|Amputation above knee|AKA
8415|Amputation below knee|BKA
8411|Amputation of toe|toe amputation
8622|Excisional debridement|wound debridement
8604|Incision and drainage of skin|I+D of abscess
8669|Skin graft|skin grafting
8683|Size reduction plastic operation|panniculectomy
8511|Closed biopsy of breast|breast biopsy
8543|Unilateral extended simple mastectomy|mastectomy
4011|Biopsy of lymphatic structure|lymph node biopsy
4023|Excision of axillary lymph node|axillary dissection
415|Splenectomy|splenectomy
4131|Biopsy of bone marrow|bone marrow biopsy
4103|Allogeneic bone marrow transplant|allo transplant
4104|Autologous stem cell transplant|auto stem cell transplant
4241|Partial esophagectomy|esophagectomy
4292|Dilation of esophagus|esophageal dilation
4281|Insertion of esophageal tube|esophageal stent
4319|Gastrostomy|open G tube
437|Partial gastrectomy|gastrectomy
4438|Laparoscopic gastroenterostomy|gastric bypass surgery
4439|Gastroenterostomy|gastrojejunostomy
4466|Esophagogastric sphincter repair|Nissen fundoplication
4539|Other endoscopy of small intestine|capsule endoscopy
4601|Exteriorization of small intestine|loop ileostomy
4610|Colostomy|diverting colostomy
4651|Closure of stoma|ileostomy takedown
4701|Laparoscopic appendectomy|appendectomy
4709|Appendectomy|open appendectomy
4824|Biopsy of rectum|rectal biopsy
4849|Pull-through resection of rectum|rectal pull-through
4946|Excision of hemorrhoids|hemorrhoidectomy
5011|Closed biopsy of liver|liver biopsy
5022|Partial hepatectomy|liver resection
5059|Liver transplant|liver transplantation
5091|Aspiration of liver|liver abscess drain
5198|Percutaneous biliary procedure|PTC drain
527|Radical pancreaticoduodenectomy|Whipple
5252|Distal pancreatectomy|distal pancreatectomy
5301|Repair of inguinal hernia|hernia repair
5369|Repair of abdominal wall hernia|ventral hernia repair
5503|Percutaneous nephrostomy|nephrostomy tube
5524|Biopsy of kidney|renal biopsy
554|Partial nephrectomy|partial nephrectomy
5551|Nephrectomy|nephrectomy
5569|Kidney transplant|renal transplantation
598|Ureteral catheterization|ureteral stent placement
5717|Percutaneous cystostomy|suprapubic tube
5732|Cystoscopy|cystoscopy
5771|Radical cystectomy|cystectomy
6029|Transurethral prostatectomy|TURP
605|Radical prostatectomy|prostatectomy
6561|Removal of both ovaries and tubes|BSO
6849|Total abdominal hysterectomy|TAH,hysterectomy
741|Low cervical cesarean section|cesarean section
7569|Repair of obstetric laceration|perineal repair
0234|Ventricular shunt to abdominal cavity|VP shunt placement
0221|Insertion of ventricular catheter|external ventricular drain
0118|Diagnostic procedure on brain|brain biopsy
0125|Craniectomy|hemicraniectomy
0353|Repair of vertebral fracture|vertebral fixation
0390|Insertion of spinal catheter|lumbar drain
0443|Release of carpal tunnel|carpal tunnel release
0481|Injection of anesthetic into nerve|nerve block
0492|Implantation of neurostimulator|nerve stimulator
062|Thyroid lobectomy|thyroid lobectomy
0689|Parathyroidectomy|parathyroidectomy
0762|Excision of pituitary gland|transsphenoidal resection
0874|Repair of eyelid|eyelid repair
1341|Cataract extraction|cataract surgery
1474|Vitrectomy|vitrectomy
2103|Control of epistaxis|nasal packing
2319|Tooth extraction|dental extraction
303|Complete laryngectomy|laryngectomy
3129|Permanent tracheostomy|tracheostomy revision
3199|Operations on trachea|tracheal stent
3228|Endoscopic excision of lung|VATS wedge resection
3326|Closed biopsy of lung|CT guided lung biopsy
3451|Decortication of lung|decortication
346|Scarification of pleura|pleurodesis
7651|Temporomandibular arthroplasty|jaw surgery
7676|Open reduction of mandible|mandible ORIF
7932|Open reduction of radius and ulna|wrist ORIF
7931|Open reduction of humerus|humerus ORIF
8151|Total hip replacement|total hip replacement
8154|Total knee replacement|total knee replacement
8102|Cervical fusion, anterior|ACDF
8105|Dorsal fusion|thoracic fusion
8166|Vertebral augmentation|kyphoplasty
8191|Arthrocentesis|knee tap
8345|Myectomy|muscle debridement
8192|Injection into joint|joint injection
8703|CAT scan of head|noncontrast head CT
8914|Electroencephalogram|EEG monitoring
9229|Radiotherapy|palliative XRT
9390|Non-invasive ventilation|BiPAP
9672|Continuous ventilation 96 hours or more|long term ventilation
9705|Replacement of biliary tube|biliary stent exchange
9749|Removal of thoracic device|chest tube removal
9929|Injection of therapeutic substance|IV infusion
9998|Therapeutic plasmapheresis|leukapheresis
"""


def _parse(table: str) -> tuple[TailCode, ...]:
    codes: dict[str, TailCode] = {}
    for line in table.strip().splitlines():
        code, title, *rest = line.split("|")
        words = tuple(rest[0].split(",")) if rest else (title.lower(),)
        codes.setdefault(code, TailCode(code, title, words))
    return tuple(codes.values())


def _cumulative(count: int) -> tuple[int, ...]:
    """Running totals of 1 / (n + 12) in millionths, as integers so that no rounding differs anywhere."""
    totals, total = [], 0
    for rank in range(1, count + 1):
        total += 1_000_000 // (rank + 12)
        totals.append(total)
    return tuple(totals)


TAIL_DIAGNOSES = _parse(_DIAGNOSES)
TAIL_PROCEDURES = _parse(_PROCEDURES)
DIAGNOSIS_TOTALS = _cumulative(len(TAIL_DIAGNOSES))
PROCEDURE_TOTALS = _cumulative(len(TAIL_PROCEDURES))
