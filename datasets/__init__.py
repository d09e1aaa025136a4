"""Data sets with known generative factors, as numpy arrays."""

from .arrays import Arrays
from .cars3d import Cars3D
from .celeba import CelebA
from .chairs3d import Chairs3D
from .digits import Digits
from .dsprites import DSprites
from .dsprites_variants import ColorDSprites, NoisyDSprites, ScreamDSprites
from .factors import Factor, FactorData, LabelledData
from .files import MissingFileError
from .folder import Pictures
from .mnist import MNIST, FashionMNIST
from .mpi3d import MPI3DComplex, MPI3DReal, MPI3DRealistic, MPI3DToy
from .rooms3d import Rooms3D
from .shapes3d import Shapes3D
from .smallnorb import SmallNORB
from .toy import Toy

DATASETS: dict[str, type[FactorData]] = {
    "dsprites": DSprites,
    "color_dsprites": ColorDSprites,
    "noisy_dsprites": NoisyDSprites,
    "scream_dsprites": ScreamDSprites,
    "shapes3d": Shapes3D,
    "rooms3d": Rooms3D,
    "mpi3d_toy": MPI3DToy,
    "mpi3d_realistic": MPI3DRealistic,
    "mpi3d_real": MPI3DReal,
    "mpi3d_complex": MPI3DComplex,
    "cars3d": Cars3D,
    "smallnorb": SmallNORB,
    "mnist": MNIST,
    "fashionmnist": FashionMNIST,
    "digits": Digits,
    "celeba": CelebA,
    "chairs3d": Chairs3D,
    "toy": Toy,
}

__all__ = [
    "DATASETS",
    "Arrays",
    "Cars3D",
    "CelebA",
    "Chairs3D",
    "ColorDSprites",
    "DSprites",
    "Digits",
    "Factor",
    "FactorData",
    "FashionMNIST",
    "LabelledData",
    "MNIST",
    "MPI3DComplex",
    "MPI3DReal",
    "MPI3DRealistic",
    "MPI3DToy",
    "MissingFileError",
    "NoisyDSprites",
    "Pictures",
    "Rooms3D",
    "ScreamDSprites",
    "Shapes3D",
    "SmallNORB",
    "Toy",
]
