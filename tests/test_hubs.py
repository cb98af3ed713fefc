"""Models of hubs read what their own image processors make of an image; other processors are refused."""

import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from surefooted import data
from surefooted.errors import DependencyError, ModelError
from surefooted.models.external import ExternalModel
from surefooted.models.external.onnx import read_onnx
from surefooted.models.external.preprocessing import measure_preprocessing

SHAPE = (3, 6, 8)
X8 = torch.randint(0, 256, (4, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def opened(images, size=None, resample=2, mode="RGB"):
    """Images (B, C, H, W) as numbers from 0 to 255, as processors read them."""
    images = [image.convert(mode) for image in images]
    images = [image.resize(size, resample) for image in images] if size else images
    return torch.stack([torch.tensor(np.array(image)).view(*image.size[::-1], -1).permute(2, 0, 1) for image in images])


def normalised(mean=0.5, std=0.25, scale=1 / 255, offset=0.0, flip=False, mode="RGB"):
    def process(images):
        x = opened(images, mode=mode) * scale + offset
        x = (x - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
        return x.flip(1) if flip else x

    return process


def pictures(x8):
    return [Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy()) for image in x8]


@pytest.fixture
def hubs(monkeypatch):
    """Put a model with a processor onto both hubs; returns what loads it from one of them."""

    def install(processor, classes=("a", "b"), missing=False, **settings):
        class Answer(nn.Flatten):
            config = types.SimpleNamespace(id2label=dict(reversed(list(enumerate(classes)))))
            pretrained_cfg = types.MappingProxyType({"label_names": classes})

        class Wrapped(Answer):
            def forward(self, x):
                return types.SimpleNamespace(logits=super().forward(x), hidden=None)

        def load(name, use_safetensors):
            if name != "flat":
                raise OSError(f"there is no {name}")
            return Wrapped() if use_safetensors else 1 / 0

        class Reader(types.SimpleNamespace):
            def __call__(self, images, return_tensors):
                out = processor(images)
                return out if isinstance(out, dict) else {"pixel_values": out}

        def reader(name):
            if missing:
                raise OSError("flat has no preprocessor_config.json\nand more")
            return Reader(**{"image_mean": None, "image_std": None, "do_normalize": True} | settings)

        transformers, timm = types.ModuleType("transformers"), types.ModuleType("timm")
        transformers.AutoModelForImageClassification = types.SimpleNamespace(from_pretrained=load)
        transformers.AutoImageProcessor = types.SimpleNamespace(from_pretrained=reader)
        timm.create_model = lambda name, pretrained: Answer() if pretrained and name == "flat" else 1 / 0
        config = {"mean": settings.get("image_mean"), "std": settings.get("image_std")} | settings
        timm.data = types.SimpleNamespace(
            resolve_model_data_config=lambda net: config,
            create_transform=lambda is_training, **options: lambda image: processor([image])[0],
        )
        monkeypatch.setitem(sys.modules, "transformers", transformers)
        monkeypatch.setitem(sys.modules, "timm", timm)

    return install


def answers(hub, x8, **options):
    return ExternalModel(f"{hub}:flat", tuple(x8.shape[1:]), **options).load()(x8 / 255)


BOTH = pytest.mark.parametrize("hub", ["timm", "transformers"])
MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
REPRODUCED = {
    "mean and std": normalised(MEAN, STD),
    "one number": normalised(0.4, 0.2),
    "nothing": normalised(0.0, 1.0),
    "BGR": normalised(MEAN, STD, flip=True),
    "BGR alone": normalised(0.0, 1.0, flip=True),
    "no rescale": normalised(0.0, 1.0, scale=1.0),
    "bytes": lambda images: opened(images),
    "half the scale": normalised(0.0, 1.0, scale=1 / 127.5),
    "offset": normalised(0.0, 1.0, scale=1 / 127.5, offset=-1.0),
    "include_top": lambda images: normalised(MEAN, STD)(images) / torch.tensor(STD).view(-1, 1, 1),
    "resize to its size": lambda images: opened(images, (8, 6)) / 255,
}


@BOTH
@pytest.mark.parametrize("processor", REPRODUCED.values(), ids=REPRODUCED)
def test_maps_of_single_pixels_are_reproduced(hub, processor, hubs):
    hubs(processor)
    torch.testing.assert_close(answers(hub, X8), processor(pictures(X8)).flatten(1).float(), rtol=1e-5, atol=1e-5)


@BOTH
def test_a_grey_image_is_read_as_the_processor_reads_it(hub, hubs):
    for processor in (normalised(MEAN, STD), normalised(0.0, 1.0), normalised(0.3, 0.5, mode="L")):
        hubs(processor)
        want = processor(pictures(X8[:, :1])).flatten(1)
        torch.testing.assert_close(answers(hub, X8[:, :1]), want, rtol=1e-5, atol=1e-5)


@BOTH
def test_what_the_configuration_states_is_taken_to_the_last_digit(hub, hubs):
    hubs(normalised(MEAN, STD), image_mean=MEAN, image_std=STD)
    want = ((X8 / 255 - torch.tensor(MEAN).view(-1, 1, 1)) / torch.tensor(STD).view(-1, 1, 1)).flatten(1)
    assert torch.equal(answers(hub, X8), want)
    hubs(normalised(MEAN, STD), image_mean=STD, image_std=MEAN)  # it states something else than it does
    torch.testing.assert_close(answers(hub, X8), want, rtol=1e-5, atol=1e-5)


def centre(images):
    x = normalised()([image.resize((12, 10), 3) for image in images])
    return x[:, :, 2:8, 2:10]


def padded(images):
    x = normalised()(images)
    x[..., -1] = 0
    return x


REFUSED = {
    "resize": (lambda images: opened(images, (16, 16)) / 255, r"makes 16 × 16 pixels of images of 6 × 8"),
    "crop_pct": (centre, r"differs from the same pixels, normalised, by up to \d+ of 255 grey levels"),
    "pad": (padded, "several colours from images of one"),
    "mirror": (lambda images: opened(images).flip(-1) / 255, "resizes, crops, or otherwise changes"),
    "grey": (lambda images: opened(images, mode="L") / 255, "mixes the colour channels"),
    "inverted": (lambda images: 1 - opened(images) / 255, "white darker than black"),
    "gamma": (lambda images: (opened(images) / 255) ** 2, "by up to 6[34] of 255"),
    "each image by itself": (lambda images: (x := opened(images) + 1.0) / x.mean((1, 2, 3), keepdim=True), "mixes"),
    "constant": (lambda images: 0 * opened(images) + 1, "same for every colour"),
    "std 0": (normalised(0.5, 0.0), "NaN or infinite"),
    "five crops": (lambda images: opened(images)[:, None].expand(-1, 5, -1, -1, -1) / 255, r"shape \(9, 5, 3, 6, 8\)"),
    "failure": (lambda images: 1 / 0, r"fails on images of .* \(ZeroDivisionError: division by zero\)"),
}  # fmt: skip


@pytest.mark.parametrize("processor, message", REFUSED.values(), ids=REFUSED)
def test_everything_else_is_refused(processor, message, hubs):
    hubs(processor, size={"height": 224}, crop_pct=0.875)
    with pytest.raises(ModelError, match=message) as error:
        answers("transformers", X8)
    assert "crop_pct=0.875" in str(error.value) and "MODULE:FUNCTION" in str(error.value)
    with pytest.warns(UserWarning, match="`mean` and `std` are used as given"):
        assert torch.equal(answers("transformers", X8, mean=(0.5,), std=(0.5,)), ((X8 / 255 - 0.5) / 0.5).flatten(1))


def test_a_processor_that_makes_no_pixels_is_refused(hubs):
    hubs(lambda images: {"input_ids": torch.zeros(len(images), 4)})
    with pytest.raises(ModelError, match="it returns input_ids; expected pixel_values alone"):
        answers("transformers", X8)
    with pytest.raises(ModelError, match="the data have 2 channels"):
        measure_preprocessing(normalised(), (2, 6, 8))


def test_a_missing_processor_has_to_be_stated(hubs):
    hubs(normalised(), missing=True)
    with pytest.raises(ModelError, match=r"no usable image processor \(flat has no preprocessor_config.json\)"):
        answers("transformers", X8)
    assert torch.equal(answers("transformers", X8, mean=(0.0,), std=(1.0,)), (X8 / 255).flatten(1))


@BOTH
def test_another_normalisation_than_the_hubs_is_said(hub, hubs):
    hubs(normalised(MEAN, STD), image_mean=MEAN, image_std=STD)
    with pytest.warns(UserWarning, match=rf"{hub}:flat normalises with mean \(0.1, 0.2, 0.3\) .* used as given"):
        assert torch.equal(answers(hub, X8, mean=(0.0,), std=(1.0,)), (X8 / 255).flatten(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers(hub, X8, mean=tuple(MEAN), std=tuple(STD))


@BOTH
def test_the_hubs_own_normalisation_may_be_stated(hub, hubs):
    for mean, std, stated in ((0.0, 1.0, ((0.0,) * 3, (1.0,) * 3)), (0.5, 0.25, ((0.5,) * 3, (0.25,) * 3))):
        hubs(normalised(mean, std))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            answers(hub, X8, mean=stated[0], std=stated[1])


@BOTH
def test_classes_in_another_order_are_said(hub, hubs):
    hubs(normalised(), classes=("cat", "Great_Dane", "eel"))
    with pytest.warns(UserWarning, match="its output 0 is 'cat', and label 0 of the data is 'eel'"):
        answers(hub, X8, classes=("eel", "great dane", "cat"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers(hub, X8, classes=("cat", "great dane", "eel"))
        answers(hub, X8, classes=("3", "2", "1"))


def test_missing_models_and_packages(hubs, monkeypatch):
    hubs(normalised())
    with pytest.raises(ModelError, match="transformers cannot load the model 'other': there is no other"):
        ExternalModel("transformers:other", SHAPE).load()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(DependencyError, match=r"needs the package timm\. Install it: pip install timm"):
        ExternalModel("timm:flat", SHAPE).load()


@pytest.mark.parametrize("package", ["timm", "transformers", "onnx", "datasets"])
@pytest.mark.parametrize(
    "fault",
    [
        "import no_such_package_at_all",
        "raise RuntimeError('operator torchvision::nms does not exist')",
        "raise OSError('libcudart.so.11: cannot open nms')",
        "raise ValueError('numpy.dtype size changed: nms')",
    ],
)
def test_a_broken_package_is_told_from_a_missing_one(package, fault, monkeypatch, tmp_path):
    use = {
        "onnx": lambda: read_onnx(Path("any.onnx")),
        "datasets": lambda: data.hub("any/set"),
    }.get(package, lambda: ExternalModel(f"{package}:flat", SHAPE).load())
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(fault)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DependencyError, match=rf"{package}, which is installed but broken \(.*(no_such_package|nms)"):
        use()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError, match=rf"needs the package {package}\. Install it: pip install"):
        use()


def test_real_processors_of_transformers():
    transformers = pytest.importorskip("transformers")
    for flip in (False, True):
        processor = transformers.MobileViTImageProcessor(
            size={"shortest_edge": 6}, do_center_crop=False, do_flip_channel_order=flip
        )
        found = measure_preprocessing(
            lambda images, processor=processor: processor(images=images, return_tensors="pt")["pixel_values"], SHAPE
        )
        assert found.order == ((2, 1, 0) if flip else (0, 1, 2)) and found.std == pytest.approx((1, 1, 1))
