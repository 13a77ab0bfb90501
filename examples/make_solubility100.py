"""Write solubility100.csv: 100 common molecules, and a solubility that is computed, not measured.

    python examples/make_solubility100.py

logS is Delaney's equation (J. Chem. Inf. Comput. Sci. 44, 1000 (2004)) over RDKit's descriptors, with Crippen's logP in
the place of ClogP, and normal noise of 0.5 as of a measurement. The names and structures were written down for this
file; no row is of a data set.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors, Lipinski

OUT = Path(__file__).with_name("solubility100.csv")
SEED, NOISE = 2004, 0.5
MOLECULES = """\
ethanol CCO
1-propanol CCCO
1-butanol CCCCO
1-hexanol CCCCCCO
1-octanol CCCCCCCCO
isopropanol CC(C)O
tert-butanol CC(C)(C)O
cyclohexanol OC1CCCCC1
ethylene_glycol OCCO
glycerol OCC(O)CO
acetone CC(C)=O
2-butanone CCC(C)=O
cyclohexanone O=C1CCCCC1
acetophenone CC(=O)c1ccccc1
benzophenone O=C(c1ccccc1)c1ccccc1
acetic_acid CC(=O)O
butyric_acid CCCC(=O)O
hexanoic_acid CCCCCC(=O)O
benzoic_acid O=C(O)c1ccccc1
salicylic_acid O=C(O)c1ccccc1O
phenylacetic_acid O=C(O)Cc1ccccc1
cinnamic_acid O=C(O)C=Cc1ccccc1
adipic_acid O=C(O)CCCCC(=O)O
ethyl_acetate CCOC(C)=O
butyl_acetate CCCCOC(C)=O
methyl_benzoate COC(=O)c1ccccc1
diethyl_phthalate CCOC(=O)c1ccccc1C(=O)OCC
diethyl_ether CCOCC
tetrahydrofuran C1CCOC1
1,4-dioxane C1COCCO1
anisole COc1ccccc1
diphenyl_ether c1ccc(Oc2ccccc2)cc1
pentane CCCCC
hexane CCCCCC
octane CCCCCCCC
cyclohexane C1CCCCC1
1-hexene C=CCCCC
benzene c1ccccc1
toluene Cc1ccccc1
ethylbenzene CCc1ccccc1
p-xylene Cc1ccc(C)cc1
mesitylene Cc1cc(C)cc(C)c1
styrene C=Cc1ccccc1
biphenyl c1ccc(-c2ccccc2)cc1
naphthalene c1ccc2ccccc2c1
anthracene c1ccc2cc3ccccc3cc2c1
phenanthrene c1ccc2c(c1)ccc1ccccc12
pyrene c1cc2ccc3cccc4ccc(c1)c2c34
chloroform ClC(Cl)Cl
dichloromethane ClCCl
1-chlorobutane CCCCCl
chlorobenzene Clc1ccccc1
1,4-dichlorobenzene Clc1ccc(Cl)cc1
hexachlorobenzene Clc1c(Cl)c(Cl)c(Cl)c(Cl)c1Cl
bromobenzene Brc1ccccc1
iodobenzene Ic1ccccc1
fluorobenzene Fc1ccccc1
phenol Oc1ccccc1
p-cresol Cc1ccc(O)cc1
catechol Oc1ccccc1O
1-naphthol Oc1cccc2ccccc12
4-chlorophenol Oc1ccc(Cl)cc1
4-nitrophenol O=[N+]([O-])c1ccc(O)cc1
thymol Cc1ccc(C(C)C)c(O)c1
vanillin COc1cc(C=O)ccc1O
benzaldehyde O=Cc1ccccc1
aniline Nc1ccccc1
N,N-dimethylaniline CN(C)c1ccccc1
4-chloroaniline Nc1ccc(Cl)cc1
diphenylamine c1ccc(Nc2ccccc2)cc1
benzylamine NCc1ccccc1
triethylamine CCN(CC)CC
piperidine C1CCNCC1
morpholine C1COCCN1
pyridine c1ccncc1
quinoline c1ccc2ncccc2c1
indole c1ccc2[nH]ccc2c1
imidazole c1c[nH]cn1
pyrazine c1cnccn1
nitrobenzene O=[N+]([O-])c1ccccc1
benzonitrile N#Cc1ccccc1
acetonitrile CC#N
acetamide CC(N)=O
benzamide NC(=O)c1ccccc1
acetanilide CC(=O)Nc1ccccc1
urea NC(N)=O
nicotinamide NC(=O)c1cccnc1
sulfanilamide Nc1ccc(S(N)(=O)=O)cc1
thiophene c1ccsc1
dimethyl_sulfoxide CS(C)=O
aspirin CC(=O)Oc1ccccc1C(=O)O
paracetamol CC(=O)Nc1ccc(O)cc1
phenacetin CCOc1ccc(NC(C)=O)cc1
ibuprofen CC(C)Cc1ccc(C(C)C(=O)O)cc1
naproxen COc1ccc2cc(C(C)C(=O)O)ccc2c1
caffeine Cn1c(=O)c2c(ncn2C)n(C)c1=O
theophylline Cn1c(=O)c2[nH]cnc2n(C)c1=O
lidocaine CCN(CC)CC(=O)Nc1c(C)cccc1C
benzocaine CCOC(=O)c1ccc(N)cc1
phenobarbital CCC1(c2ccccc2)C(=O)NC(=O)NC1=O
"""


def log_solubility(smiles: str) -> float:
    """Return log10 of mol/l by Delaney's equation."""
    molecule = Chem.MolFromSmiles(smiles)
    aromatic = sum(atom.GetIsAromatic() for atom in molecule.GetAtoms()) / molecule.GetNumHeavyAtoms()
    weight, bonds = Descriptors.MolWt(molecule), Lipinski.NumRotatableBonds(molecule)
    return 0.16 - 0.63 * Crippen.MolLogP(molecule) - 0.0062 * weight + 0.066 * bonds - 0.74 * aromatic


def rows() -> list[tuple[str, str, str]]:
    """Return name, SMILES and logS of each molecule."""
    noise = random.Random(SEED)
    pairs = [line.split() for line in MOLECULES.splitlines()]
    return [
        (name.replace("_", " "), smiles, f"{log_solubility(smiles) + noise.gauss(0, NOISE):.2f}")
        for name, smiles in pairs
    ]


def main() -> None:
    """Write the file."""
    with open(OUT, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["name", "SMILES", "logS"])
        writer.writerows(rows())


if __name__ == "__main__":
    main()
