"""Networks: image classifiers as sequences of named stages, which can be cut into encoder and head at any stage."""

from surefooted.models.nets.cnn4 import cnn4
from surefooted.models.nets.cnn7 import cnn7
from surefooted.models.nets.due import due, due_mlp
from surefooted.models.nets.lenet import lenet, lenet_svhn
from surefooted.models.nets.mlp import mlp
from surefooted.models.nets.preact_resnet import resnet29_v2
from surefooted.models.nets.resnet import resnet18
from surefooted.models.nets.resnet_imagenet import resnet101
from surefooted.models.nets.small_cnn import small_cnn
from surefooted.models.nets.small_convnet import small_convnet
from surefooted.models.nets.wide_resnet import wide_resnet, wide_resnet28_10, wide_resnet34_10

__all__ = [
    "cnn4",
    "cnn7",
    "due",
    "due_mlp",
    "lenet",
    "lenet_svhn",
    "mlp",
    "resnet18",
    "resnet29_v2",
    "resnet101",
    "small_cnn",
    "small_convnet",
    "wide_resnet",
    "wide_resnet28_10",
    "wide_resnet34_10",
]
