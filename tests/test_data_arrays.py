"""Data in memory: what goes in comes out, in its order, under one key, wherever a data set is taken."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_sets import CLASSES, HubSplit, drawn, fake_hub, write_npz
from torch.utils.data import DataLoader, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

import surefooted as sf
from surefooted import data
from surefooted.data.arrays import as_images, as_splits
from surefooted.errors import ArgumentError, DataError, DataNotice, InputError
from surefooted.pipeline.tasks import load_splits, resolve_data, train_task

GREY, LABELS = drawn(12, 0)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 5, 6, 3), dtype=np.uint8)


def net(classes=3):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(30, classes))


# Values


@pytest.mark.parametrize(
    "x",
    [
        GREY,
        GREY[:, None],
        GREY[..., None],
        torch.from_numpy(GREY),
        list(GREY),
        list(torch.from_numpy(GREY)[:, None]),
        [Image.fromarray(image) for image in GREY],
    ],
)
@pytest.mark.parametrize("kind", [np.int64, np.uint8, "list", "tensor", "column"])
def test_every_form_of_the_same_images_is_the_same_data_set(x, kind):
    y = {"list": LABELS.tolist(), "tensor": torch.from_numpy(LABELS).int(), "column": LABELS[:, None]}.get(kind)
    splits = data.arrays(x, LABELS.astype(kind) if y is None else y)
    assert splits.spec == data.arrays(GREY, LABELS).spec
    assert torch.equal(splits.test.x[:, 0], torch.from_numpy(GREY)) and splits.test.y.tolist() == LABELS.tolist()
    assert splits.test.rows.tolist() == list(range(12)) and not len(splits.train) and not len(splits.validation)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_are_kept_as_they_are(kind):
    x = (torch.from_numpy(COLOUR).permute(0, 3, 1, 2) / 255).to(kind)
    points = data.arrays(x, LABELS).test.points()
    assert points.x.dtype == torch.float32 and torch.equal(points.x, x.float())
    for order in (x, x.permute(0, 2, 3, 1)):
        assert data.arrays(order, LABELS).checksum == data.arrays(x.float(), LABELS).checksum


def test_rounding_outside_the_pixels_is_taken_off():
    x = GREY / 255
    x[0, 0, 0], x[0, 0, 1] = -2.98e-8, 1.0000001
    points = data.arrays(x, LABELS).test.points()
    assert (float(points.x.min()), float(points.x.max())) == (0, 1)


def test_bytes_make_the_key_and_nothing_else_does():
    plain = data.arrays(GREY, LABELS)
    assert data.arrays(GREY.copy(), LABELS.copy(), title="Another title").spec == plain.spec
    changed = GREY.copy()
    changed[3, 2, 1] ^= 1
    others = [data.arrays(changed, LABELS), data.arrays(GREY, LABELS[::-1]), data.arrays(GREY, LABELS, names=CLASSES)]
    assert len({str(one.spec) for one in [plain, *others]}) == 4


def test_a_training_part_is_split_as_that_of_a_file(tmp_path):
    train, test = drawn(20, 2), drawn(6, 3)
    file = data.npz(write_npz(tmp_path / "a.npz", train, test), split_seed=3)
    ours = data.arrays(*test, train=train, names=CLASSES, split_seed=3)
    assert ours.checksum == file.checksum
    for part in ("train", "validation"):
        assert torch.equal(getattr(ours, part).x, getattr(file, part).x)
        assert torch.equal(getattr(ours, part).rows, getattr(file, part).rows)
    assert ours.test.rows.tolist() == list(range(20, 26)), "the test images keep their order"
    given = data.arrays(*test, train=train, validation=drawn(4, 5), names=CLASSES)
    assert given.validation.rows.tolist() == list(range(20, 24)) and given.test.rows.tolist() == list(range(24, 30))


# Everywhere a data set is taken


def test_arrays_are_taken_where_a_data_set_is():
    model, numbers = net(), []
    for given in ((GREY, LABELS), data.arrays(GREY, LABELS), DataLoader(TensorDataset(*tensors()), 5)):
        points = as_splits(given).test.points()
        assert torch.equal(sf.predict(model, given).log_p, sf.predict(model, points).log_p)
        assert torch.equal(
            sf.attack("pgd", model, given, eps=0.1, steps=1).x, sf.attack("pgd", model, points, eps=0.1, steps=1).x
        )
        numbers.append(resolve_data(given))
    assert (
        numbers[0] == numbers[1] == numbers[2] and load_splits(numbers[0]).checksum == numbers[0]["arrays"]["checksum"]
    )
    train = data.arrays(GREY, LABELS, train=drawn(20, 2), validation=0)
    assert load_splits(train_task("vanilla", "mlp", train).data) is train
    with pytest.raises(DataError, match=r"no images to train on.*train=\(x, y\)"):
        sf.train("vanilla", "mlp", (GREY, LABELS))


def tensors():
    return torch.from_numpy(GREY)[:, None], torch.from_numpy(LABELS)


def test_data_that_are_no_longer_in_memory_are_asked_for():
    with pytest.raises(DataError, match="were in memory and are not at hand"):
        load_splits({"arrays": {"checksum": "0" * 64, "validation": 0.0, "split_seed": 0}})


# PyTorch


class MapItems(torch.utils.data.Dataset):
    """A map-style data set of colour images."""

    classes = CLASSES

    def __init__(self, transform=None):
        self.transform = transform

    def __len__(self):
        return 12

    def __getitem__(self, row):
        image = Image.fromarray(COLOUR[row])
        return (self.transform(image) if self.transform else image), int(LABELS[row])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(MapItems())


def to_tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def test_a_torch_data_set_is_its_images_in_order():
    expected = data.arrays(COLOUR, LABELS, names=CLASSES)
    assert data.arrays(MapItems()).checksum == data.arrays(Stream(), names=CLASSES).checksum == expected.checksum
    floats = data.arrays(torch.from_numpy(COLOUR).permute(0, 3, 1, 2) / 255, LABELS, names=CLASSES)
    assert as_splits(DataLoader(MapItems(to_tensor), 5)).checksum == floats.checksum
    part = as_images(Subset(MapItems(), [3, 5, 11]))
    assert part.classes == CLASSES and np.array_equal(part.x.permute(0, 2, 3, 1).numpy(), COLOUR[[3, 5, 11]])


def test_a_loader_is_read_whole_in_order_and_leaves_random_numbers_alone():
    pairs = TensorDataset(*tensors())
    state = torch.get_rng_state()
    with pytest.warns(DataNotice, match="The loader shuffles"):
        shuffled = as_splits(DataLoader(pairs, 5, shuffle=True, drop_last=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert shuffled.checksum == data.arrays(GREY, LABELS).checksum
    chosen = as_images(DataLoader(pairs, 2, sampler=SubsetRandomSampler([11, 4])))
    assert sorted(chosen.y.tolist()) == sorted(LABELS[[11, 4]].tolist()), "a sampler of its own chooses the images"


class Normalize:
    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def __call__(self, x):
        return (x - self.mean) / self.std

    def __repr__(self):
        return f"Normalize(mean={self.mean}, std={self.std})"


class Compose:
    def __init__(self, *transforms):
        self.transforms = list(transforms)

    def __call__(self, x):
        for transform in self.transforms:
            x = transform(x)
        return x


def test_a_normalising_transform_is_refused_wherever_it_is():
    inside = MapItems(Compose(to_tensor, Compose(Normalize(0.0, 1.0))))  # its values are in [0, 1]
    for given in (inside, Subset(inside, [0, 1]), DataLoader(inside, 2), torch.utils.data.ConcatDataset([inside])):
        with pytest.raises(DataError, match=r"normalises.*Normalize\(mean=0.0, std=1.0\).*`mean`, `std`"):
            as_splits(given)
    with pytest.raises(DataError, match="Undo the normalisation"):
        as_splits(MapItems(lambda image: (to_tensor(image) - 0.5) / 0.5))


@pytest.mark.parametrize(
    "item", [lambda x, y: (x, y, 0), lambda x, y: {"pixels": x, "class": y}, lambda x, y: (x, str(y))]
)
def test_a_loader_may_make_pairs_of_other_items(item):
    """A data set of triples, dictionaries or text goes with a ``collate_fn`` of the user's."""

    def collate(items):
        pairs = [tuple(one.values()) if isinstance(one, dict) else one[:2] for one in items]
        return torch.stack([x for x, _ in pairs]), torch.tensor([int(y) for _, y in pairs])

    x, y = tensors()
    items = [item(*pair) for pair in zip(x, y.tolist())]
    given = as_splits(DataLoader(items, 5, collate_fn=collate))
    assert given.checksum == data.arrays(GREY, LABELS).checksum
    draws = torch.Generator().manual_seed(0)

    def noisy(items):
        x, y = collate(items)
        return x / 255 * torch.rand((), generator=draws), y

    with pytest.warns(DataNotice, match="other images each time"):
        as_splits(DataLoader(items, 5, collate_fn=noisy))


def test_a_random_transform_is_told():
    draws = torch.Generator().manual_seed(0)
    with pytest.warns(DataNotice, match="other images each time"):
        as_splits(MapItems(lambda image: to_tensor(image) * torch.rand((), generator=draws)))


@pytest.mark.parametrize(
    "given, text",
    [
        (TensorDataset(tensors()[0]), "yields 1 values; expected pairs"),
        (DataLoader([{"image": 0, "label": 1}]), "a dictionary of image, label"),
        (DataLoader(TensorDataset(tensors()[1], tensors()[1])), "expected batches of images and labels"),
        (TensorDataset(torch.zeros(0, 1, 2, 2), torch.zeros(0)), "The data set is empty"),
        (
            Subset(MapItems(lambda image: to_tensor(image)[:, : 1 + image.getpixel((0, 0))[0] % 2]), range(12)),
            "sizes|differ",
        ),
    ],
)
def test_what_is_no_set_of_images_and_labels_is_refused(given, text):
    with pytest.raises(InputError, match=text):
        as_splits(given)


# Hugging Face


class HubSet(HubSplit):
    """A ``Dataset`` in memory, with further columns."""

    def __init__(self, *args, **columns):
        super().__init__(*args)
        self.features |= columns


def test_hub_data_sets_in_memory_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("SUREFOOTED_CACHE", str(tmp_path))
    fake_hub(monkeypatch, None)
    train, test = drawn(20, 2), drawn(6, 3)
    alone = as_splits(HubSet(*test))
    assert alone.checksum == data.arrays(*test, names=CLASSES).checksum
    both = as_splits({"train": HubSet(*train), "test": HubSet(*test)})
    assert both.checksum == data.arrays(*test, train=train, names=CLASSES).checksum
    with pytest.warns(DataNotice, match="validation data are its test split"):
        assert resolve_data({"train": HubSet(*train), "valid": HubSet(*test)}) == resolve_data(both)
    with pytest.warns(DataNotice, match="Not read in the DatasetDict: 'unlabelled', 'extra'. Read are train, test"):
        as_splits(
            {"train": HubSet(*train), "unlabelled": HubSet(*train), "test": HubSet(*test), "extra": HubSet(*test)}
        )
    named = {"validation": HubSet(*train), "test": HubSet(*test)}
    for arguments, text in (
        ({"y": test[1]}, "`y` is given"),
        ({"validation": train}, "`validation` is given, but the DatasetDict has 'validation'"),
    ):
        with pytest.raises(ArgumentError, match=text):
            data.arrays(named, **arguments)
    with pytest.warns(DataNotice, match="`data.validation=0.3` has no effect"):
        data.arrays(named | {"train": HubSet(*train)}, validation=0.3)
    with pytest.warns(DataNotice, match="Not read in The test data: 'id'"):
        as_splits(HubSet(*test, id=SimpleNamespace(dtype="string")))
    two = HubSet(*test, fine=SimpleNamespace(names=["a"]))
    with pytest.raises(DataError, match="one column of Image and one of ClassLabel"):
        as_splits(two)
    with pytest.raises(DataError, match="expected one named 'test'"):
        as_splits({"train": HubSet(*train)})


# Bad input


@pytest.mark.parametrize(
    "arguments, options, text",
    [
        ((GREY, LABELS[:5]), {}, "`x` has 12 images, `y` 5 labels"),
        ((GREY, LABELS / 1), {}, r"`y` is float64.*astype\(int\)"),
        ((GREY, np.eye(3)[LABELS]), {}, "argmax"),
        ((GREY.astype(int), LABELS), {}, "`x` is int64; expected uint8"),
        ((GREY / 1.0, LABELS), {}, "Divide by 255"),
        ((GREY / 255 - 0.5, LABELS), {}, "Undo the normalisation"),
        ((GREY, LABELS * 2), {"train": (GREY, LABELS * 2)}, re.escape("as in `names=10`")),
        ((GREY, LABELS), {"names": 2}, "outside the 2 classes"),
        ((GREY, LABELS), {"names": "abc"}, "`names` is 'abc'"),
        ((GREY, LABELS), {"validation": 2}, "`validation` is 2"),
        ((GREY, LABELS), {"layout": "hwc"}, "`layout` is 'hwc'"),
        ((np.zeros((12, 3, 5, 3), np.uint8) + 9, LABELS), {}, "Set `layout=nhwc` or `layout=nchw`"),
        ((GREY, LABELS), {"train": COLOUR}, "`train` is ndarray"),
        ((GREY, LABELS), {"train": (COLOUR, LABELS)}, "same shape and type"),
        (([GREY[0], GREY[0, 1:]], [0, 1]), {}, "different shapes, 4×6 and 5×6"),
        ((["a.png"], [0]), {}, "`x` has 1 images|`x` is"),
        ((GREY,), {}, "`y` is missing"),
        ((object(), [0]), {}, "`x` is object"),
    ],
)
def test_what_cannot_be_used_is_refused(arguments, options, text):
    with pytest.raises(InputError, match=text):
        data.arrays(*arguments, **options)


def test_parts_and_other_objects_are_no_data_sets():
    whole = data.arrays(GREY, LABELS)
    for given in (whole.test, whole.test.points()):
        with pytest.raises(ArgumentError, match=r"a part of a data set.*`split`"):
            resolve_data(given)
    for given in (GREY, 3, (GREY, LABELS, LABELS)):
        with pytest.raises(ArgumentError, match=r"expected a data set.*images and labels \(x, y\)"):
            resolve_data(given)


def test_pixels_that_look_scaled_twice_are_told():
    for x in (GREY // 128, GREY / 255 / 255):
        with pytest.warns(DataNotice, match="almost black, as if they were scaled twice"):
            data.arrays(x, LABELS)


def test_a_few_images_need_not_hold_every_class():
    last = GREY[-2:], LABELS[-2:]
    assert as_images(last).y.tolist() == [2, 2] and as_images(last).classes == ("0", "1", "2")
    assert sf.predict(net(), last).log_p.shape == (2, 3)
    with pytest.raises(InputError, match=r"3 classes and the data have 1.*names=3"):
        sf.audit(net(), (GREY[:4], LABELS[:4]), budget="smoke", levels=2, quiet=True)
