"""Recipes: optimiser, schedule and augmentation, as the papers print them or as the user sets them."""

from surefooted.training.recipes.base import Recipe as Recipe
from surefooted.training.recipes.custom import recipe
from surefooted.training.recipes.growing_eps import growing_eps
from surefooted.training.recipes.published import (
    ar_adals_cifar10,
    due_wide_resnet,
    edward2_wide_resnet,
    entm_mnist,
    entm_resnet18,
    uta_cyclic,
    uta_lenet,
    uta_resnet18,
)

__all__ = [
    "ar_adals_cifar10",
    "due_wide_resnet",
    "edward2_wide_resnet",
    "entm_mnist",
    "entm_resnet18",
    "growing_eps",
    "recipe",
    "uta_cyclic",
    "uta_lenet",
    "uta_resnet18",
]
