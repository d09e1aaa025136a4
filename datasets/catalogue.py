"""What is known of the data sets that come as files: where they are, what they are, whose they are.

Checksums are those that the loaders go by. Sizes in bytes are exact where given; a checksum or size
that no source states is left out and never made up.
"""

from . import (
    cars3d,
    celeba,
    chairs3d,
    chairs3d_views,
    dsprites,
    dsprites_file,
    mnist,
    mpi3d,
    shapes3d,
    smallnorb,
)
from .entry import Entry, File, Published
from .factors import Factor


def _line(factors: tuple[Factor, ...]) -> str:
    return ", ".join(f"{factor.name} {factor.size}" for factor in factors)


_MPI3D = (
    "object_color object_shape object_size camera_height background_color "
    "horizontal_axis vertical_axis"
)


def _mpi3d(name: str, published: Published | None, remote: str = "") -> Entry:
    known = mpi3d.OFFICIAL[name]
    sizes = zip(_MPI3D.split(), mpi3d.GRIDS[known.counts[0]], strict=True)
    hosts = (
        f"https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/{name}.npz",
        f"https://storage.googleapis.com/mpi3d_disentanglement_dataset/data/{remote or name}.npz",
    )
    main, *others = known.files
    file = File(
        main,
        hosts if known.md5 else (),
        f"md5:{known.md5}" if known.md5 else "",
        page=""
        if known.md5
        else "https://drive.google.com/file/d/1Tp8eTdHxgUMtsZv5uAoYAbJR1BOa_OQm/view",
        binding=False,
        instead=tuple(File(other, binding=False) for other in others),
    )
    return Entry(
        title=f"MPI3D {name.removeprefix('mpi3d_')}",
        files=(file,),
        factors=", ".join(f"{factor} {size}" for factor, size in sizes),
        licence="CC-BY-4.0",
        citation="Gondal et al. 2019, On the Transfer of Inductive Bias from Simulation to the "
        "Real World: a New Disentanglement Dataset, NeurIPS",
        page="https://github.com/rr-learning/disentanglement_dataset",
        counts=known.counts,
        published=published,
    )


def _idx(name: str, bases: tuple[str, ...], packed: dict[str, tuple[str, int]]) -> tuple[File, ...]:
    """The files of MNIST or its like, and the md5 and size that their authors gave each."""
    return tuple(
        File(
            f"{file}.gz",
            tuple(f"{base}{file}.gz" for base in bases),
            f"md5:{packed[file][0]}",
            packed[file][1],
            content=content,
            instead=(File(file, digest=f"sha256:{content}"),),
        )
        for file, content in mnist.CONTENT[name].items()
    )


CATALOGUE: dict[str, Entry] = {
    "dsprites": Entry(
        title="dSprites",
        files=(
            File(
                dsprites_file.NAME,
                (
                    "https://github.com/google-deepmind/dsprites-dataset/raw/master/"
                    + dsprites_file.NAME,
                    "https://raw.githubusercontent.com/deepmind/dsprites-dataset/master/"
                    + dsprites_file.NAME,
                ),
                f"md5:{dsprites_file.MD5}",
                instead=(
                    File(
                        dsprites_file.HDF5_NAME,
                        digest=f"sha256:{dsprites_file.HDF5_SHA256}",
                        size=28_024_106,
                    ),
                ),
            ),
        ),
        factors=_line(dsprites.FACTORS),
        licence="Apache-2.0",
        citation="Matthey, Higgins, Hassabis & Lerchner 2017, dSprites: Disentanglement testing "
        "Sprites dataset",
        page="https://github.com/google-deepmind/dsprites-dataset",
        counts=(737_280,),
        drawn=True,
    ),
    "shapes3d": Entry(
        title="3D Shapes",
        files=(
            File(
                shapes3d.NAME,
                ("https://storage.googleapis.com/3d-shapes/3dshapes.h5",),
                f"sha256:{shapes3d.SHA256}",
                shapes3d.BYTES,
            ),
        ),
        factors=_line(shapes3d.FACTORS),
        licence="Apache-2.0",
        citation="Burgess & Kim 2018, 3D Shapes Dataset",
        page="https://github.com/google-deepmind/3d-shapes",
        counts=(480_000,),
        published=Published(
            mean=(0.502585, 0.578760, 0.603450), image_deviation=(0.294081, 0.344398, 0.366169)
        ),
    ),
    "mpi3d_toy": _mpi3d("mpi3d_toy", Published((0.22437, 0.22142, 0.22625), tolerance=1e-3)),
    "mpi3d_realistic": _mpi3d(
        "mpi3d_realistic", Published((0.17987, 0.20475, 0.18148), tolerance=1e-3)
    ),
    "mpi3d_real": _mpi3d(
        "mpi3d_real", Published((0.12849, 0.16480, 0.13972), tolerance=1e-3), remote="real"
    ),
    "mpi3d_complex": _mpi3d("mpi3d_complex", None),
    "cars3d": Entry(
        title="3D Cars",
        files=(
            File(
                cars3d.NAME,
                ("http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",),
                f"md5:{cars3d.MD5}",
            ),
        ),
        factors=_line(cars3d.FACTORS),
        licence="none stated",
        citation="Reed, Zhang, Zhang & Lee 2015, Deep Visual Analogy-Making, NIPS",
        page="http://www.scottreed.info",
        counts=(17_568,),
        published=Published((0.89767, 0.88917, 0.88515), tolerance=2e-3),
    ),
    "smallnorb": Entry(
        title="Small NORB",
        files=tuple(
            File(
                part.name(kind),
                (f"https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/{part.name(kind)}",),
                f"sha256:{checksum}",
                size,
            )
            for part in smallnorb.PARTS
            for kind, (size, checksum) in part.files.items()
        ),
        factors=_line(smallnorb.FACTORS),
        licence="for research only",
        citation="LeCun, Huang & Bottou 2004, Learning Methods for Generic Object Recognition with "
        "Invariance to Pose and Lighting, CVPR",
        page="https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/",
        counts=(48_600,),
        # Of the official training part, which has these toys.
        published=Published((0.75209,), tolerance=2e-3, only=("instance", (4, 6, 7, 8, 9))),
    ),
    "mnist": Entry(
        title="MNIST",
        files=_idx(
            "mnist",
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
            {
                "train-images-idx3-ubyte": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
                "train-labels-idx1-ubyte": ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
                "t10k-images-idx3-ubyte": ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
                "t10k-labels-idx1-ubyte": ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
            },
        ),
        factors=_line(mnist.FACTORS),
        licence="none stated",
        citation="LeCun, Cortes & Burges 1998, The MNIST Database of Handwritten Digits",
        page="https://ossci-datasets.s3.amazonaws.com/mnist/",
        counts=(70_000,),
        training=60_000,
        per_class=(5_421, 6_742),
        places=("MNIST/raw",),
        published=Published((0.1307,), (0.3081,), tolerance=1e-4, image_size=28),
    ),
    "fashionmnist": Entry(
        title="Fashion-MNIST",
        files=_idx(
            "fashionmnist",
            (
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            ),
            {
                "train-images-idx3-ubyte": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
                "train-labels-idx1-ubyte": ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
                "t10k-images-idx3-ubyte": ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
                "t10k-labels-idx1-ubyte": ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
            },
        ),
        factors=_line(mnist.FACTORS),
        licence="MIT",
        citation="Xiao, Rasul & Vollgraf 2017, Fashion-MNIST: a Novel Image Dataset for "
        "Benchmarking Machine Learning Algorithms, arXiv 1708.07747",
        page="https://github.com/zalandoresearch/fashion-mnist",
        counts=(70_000,),
        training=60_000,
        per_class=(6_000, 6_000),
        places=("FashionMNIST/raw", str(mnist.DEBIAN)),
        published=Published((0.28604,), (0.35302,), image_size=28),
    ),
    "celeba": Entry(
        title="CelebA",
        files=(
            File(
                celeba.ARCHIVE,
                ("https://s3-us-west-1.amazonaws.com/udacity-dlnfd/datasets/celeba.zip",),
                f"md5:{celeba.MD5[celeba.ARCHIVE]}",
                1_443_490_838,
            ),
            *(
                File(name, digest=f"md5:{celeba.MD5[name]}")
                for name in (celeba.ATTRIBUTES, celeba.PARTITION)
            ),
        ),
        factors="40 attributes of 2",
        licence="non-commercial research only",
        citation="Liu, Luo, Wang & Tang 2015, Deep Learning Face Attributes in the Wild, ICCV",
        page="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        counts=(celeba.COUNT,),
        training=162_770,
    ),
    "chairs3d": Entry(
        title="3D Chairs",
        files=(
            File(
                chairs3d.ARCHIVE,
                ("https://www.di.ens.fr/willow/research/seeing3Dchairs/data/rendered_chairs.tar",),
                instead=(File(chairs3d_views.FOLDER, folder=True),),
            ),
        ),
        factors="chair 1393, elevation 2, azimuth 31",
        licence="none stated",
        citation="Aubry, Maturana, Efros, Russell & Sivic 2014, Seeing 3D Chairs, CVPR",
        page="https://www.di.ens.fr/willow/research/seeing3Dchairs",
        counts=(86_366,),
    ),
}
