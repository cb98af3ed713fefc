"""The named data sets: one entry each."""

from __future__ import annotations

from surefooted.data.named_set import NamedSet, named_set

mnist = named_set(
    NamedSet(
        name="mnist",
        title="MNIST",
        content="handwritten digits, 28×28 grey, 60,000 training and 10,000 test images",
        hub="ylecun/mnist",
        shape=(1, 28, 28),
        classes=10,
        reference="Y. LeCun, C. Cortes, C. Burges. The MNIST database of handwritten digits, 1998.",
    ),
    __name__,
)

fashion_mnist = named_set(
    NamedSet(
        name="fashion_mnist",
        title="Fashion-MNIST",
        content="articles of clothing, 28×28 grey, 60,000 training and 10,000 test images",
        hub="zalando-datasets/fashion_mnist",
        shape=(1, 28, 28),
        classes=10,
        reference="H. Xiao, K. Rasul, R. Vollgraf. Fashion-MNIST: a Novel Image Dataset, 2017, "
        "https://arxiv.org/abs/1708.07747.",
    ),
    __name__,
)

cifar10 = named_set(
    NamedSet(
        name="cifar10",
        title="CIFAR-10",
        content="ten kinds of objects, 32×32 colour, 50,000 training and 10,000 test images",
        hub="uoft-cs/cifar10",
        shape=(3, 32, 32),
        classes=10,
        reference="A. Krizhevsky. Learning Multiple Layers of Features from Tiny Images, 2009.",
    ),
    __name__,
)

cifar100 = named_set(
    NamedSet(
        name="cifar100",
        title="CIFAR-100",
        content="a hundred kinds of objects, 32×32 colour, 50,000 training and 10,000 test images",
        hub="uoft-cs/cifar100",
        shape=(3, 32, 32),
        classes=100,
        reference="A. Krizhevsky. Learning Multiple Layers of Features from Tiny Images, 2009.",
        image="img",
        label="fine_label",
    ),
    __name__,
)

svhn = named_set(
    NamedSet(
        name="svhn",
        title="SVHN",
        content="house numbers, cropped to one digit, 32×32 colour, 73,257 training and 26,032 test images",
        hub="ufldl-stanford/svhn",
        shape=(3, 32, 32),
        classes=10,
        reference="Y. Netzer et al. Reading Digits in Natural Images with Unsupervised Feature Learning, 2011.",
        config="cropped_digits",
    ),
    __name__,
)
