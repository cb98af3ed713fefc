"""Configuration files and values as people write them, and what is right for each.

Each entry of ``READ`` is the name of a file, its content, and the components that it gives, complete where a default is
not the point. Each entry of ``REFUSED`` has a part of the message in their place.
"""

from __future__ import annotations

import codecs

BOM = codecs.BOM_UTF8


def method(value: str, argument: str = "eps") -> str:
    return f"method: {{pat: {{{argument}: {value}}}}}"


BOMB = "\n".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}' if k else '1'] * 10)}]" for k in range(9))

READ: list[tuple[str, str | bytes, dict]] = [
    # Numbers are read by the type of their argument, and not by the rules of YAML 1.1.
    ("octal.yaml", method("010", "steps"), {"method": {"pat": {"steps": 10}}}),
    ("underscore.yaml", method("1_0", "steps"), {"method": {"pat": {"steps": 10}}}),
    ("exponent.yaml", method("1e1", "steps"), {"method": {"pat": {"steps": 10}}}),
    ("exponent_dot.yaml", method("1.0e1", "steps"), {"method": {"pat": {"steps": 10}}}),
    ("small.yaml", method("1e-1"), {"method": {"pat": {"eps": 0.1}}}),
    ("fraction.yaml", method("8/255"), {"method": {"pat": {"eps": 8 / 255}}}),
    ("decimal_fraction.yaml", method("1.5/3"), {"method": {"pat": {"eps": 0.5}}}),
    ("quoted.yaml", method('"0.1"'), {"method": {"pat": {"eps": 0.1}}}),
    ("negative_zero.yaml", method("-0.0"), {"method": {"pat": {"eps": 0.0}}}),
    ("tilde.yaml", method("~", "step_size"), {"method": {"pat": {"step_size": None}}}),
    ("null.yaml", method("null", "step_size"), {"method": {"pat": {"step_size": None}}}),
    ("none.yaml", method("none", "step_size"), {"method": {"pat": {"step_size": None}}}),
    # Words and paths stay what they are.
    ("norway.yaml", "data: {folder: {path: no}}", {"data": {"folder": {"path": "no"}}}),
    ("year.yaml", "data: {folder: {path: 2024}}", {"data": {"folder": {"path": "2024"}}}),
    ("slash.yaml", "data: {folder: {path: 2024/05}}", {"data": {"folder": {"path": "2024/05"}}}),
    ("date.yaml", "data: {folder: {path: 2024-05-01}}", {"data": {"folder": {"path": "2024-05-01"}}}),
    ("time.yaml", "data: {folder: {path: 1:30}}", {"data": {"folder": {"path": "1:30"}}}),
    ("key.yaml", "data: {folder: {path: 123e4567}}", {"data": {"folder": {"path": "123e4567"}}}),
    ("accent.yaml", "data: {folder: {path: größe}}", {"data": {"folder": {"path": "größe"}}}),
    ("yes.yaml", "recipe: {recipe: {optimiser: sgd, nesterov: yes}}", {"recipe": {"recipe": {"nesterov": True}}}),
    ("off.yaml", "recipe: {recipe: {nesterov: off}}", {"recipe": {"recipe": {"nesterov": False}}}),
    # Ways to write a file.
    ("mark.yaml", BOM + b"net: mlp", {"net": {"mlp": {}}}),
    ("mark.toml", BOM + b'net = "mlp"', {"net": {"mlp": {}}}),
    ("mark.json", BOM + b'{"net": "mlp"}', {"net": {"mlp": {}}}),
    ("windows.yaml", b"net: mlp\r\nmethod:\r\n  pat:\r\n    steps: 2\r\n", {"method": {"pat": {"steps": 2}}}),
    ("windows.toml", b'net = "mlp"\r\n[method.pat]\r\nsteps = 2\r\n', {"method": {"pat": {"steps": 2}}}),
    ("tabs.json", '{\n\t"net":\t{"mlp": {"width": 4}}}', {"net": {"mlp": {"width": 4}}}),
    ("upper.TOML", "[net.mlp]\nwidth = 4", {"net": {"mlp": {"width": 4}}}),
    ("empty_arguments.yaml", "net: {mlp: }", {"net": {"mlp": {}}}),
    ("no_suffix", "net: mlp", {"net": {"mlp": {}}}),
    (
        "merged.yaml",
        "method: &base {pat: &a {eps: 0.1, steps: 2}}\nrecipe: {recipe: {<<: {epochs: 2, batch: 8}, epochs: 3}}",
        {"recipe": {"recipe": {"epochs": 3, "batch": 8}}, "method": {"pat": {"eps": 0.1, "steps": 2}}},
    ),
    (
        "merged_twice.yaml",
        "method: {pat: &a {eps: 0.1}}\nnet: {mlp: &b {<<: {width: 3}, width: 4}}\nrecipe: {recipe: {<<: {epochs: 3}}}",
        {"net": {"mlp": {"width": "4"}}, "recipe": {"recipe": {"epochs": 3}}},
    ),
]

REFUSED: list[tuple[str, str | bytes, str]] = [
    ("word.yaml", method("on"), "`method.eps` is 'on': input should be a valid number"),
    ("yes_number.yaml", method("yes", "steps"), "`method.steps` is 'yes': input should be a valid integer"),
    ("true.toml", "[method.pat]\neps = true", "`method.eps` is 'true': input should be a valid number"),
    ("true.json", '{"method": {"pat": {"steps": true}}}', "`method.steps` is 'true'"),
    ("time_number.yaml", method("1:30"), "`method.eps` is '1:30'"),
    ("date_number.yaml", method("2024-05-01"), "`method.eps` is '2024-05-01'"),
    ("hexadecimal.yaml", method("0x10", "steps"), "`method.steps` is '0x10'"),
    ("infinite.yaml", method(".inf"), "`method.eps` is '.inf'"),
    ("infinite_word.yaml", method("inf"), "`method.eps` is 'inf'"),
    ("infinite.toml", "[method.pat]\neps = inf", "`method.eps` is inf"),
    ("not_a_number.toml", "[method.pat]\neps = nan", "`method.eps` is nan"),
    ("null_number.yaml", method("null"), "`method.eps` is None: input should be a valid number"),
    ("by_zero.yaml", method("8/0"), "`method.eps` is '8/0'"),
    ("huge.yaml", method("1e39"), "`method.eps` is '1e39': tensors hold numbers up to 3.4e+38."),
    ("huge_exponent.yaml", method("1e999999999"), "`method.eps` is '1e999999999'"),
    ("huge_whole.yaml", method("9" * 30, "steps"), "`method.steps` is '9999"),
    ("digits.yaml", method("9" * 9000, "steps"), "`method.steps` is '9999"),
    ("number_as_path.toml", "[data.folder]\npath = 2024", "`data.path` is 2024: expected text; write it in quotes."),
    ("null_path.yaml", "data: {folder: {path: null}}", "`data.path` is None: expected text"),
    ("twice.yaml", "net: mlp\nnet: lenet", "the key 'net' is given twice"),
    ("twice_below.yaml", "method: {pat: {eps: 0.1, eps: 0.2}}", "the key 'eps' is given twice"),
    ("twice_quoted.yaml", "method: {pat: {eps: 0.1, 'eps': 0.2}}", "the key 'eps' is given twice"),
    ("twice_anchor.yaml", "net: {mlp: &a {width: 3, width: 3}}", "the key 'width' is given twice"),
    ("twice_merge.yaml", "net: {mlp: {<<: {width: 3}, <<: {width: 4}}}", "the key '<<' is given twice"),
    ("twice.toml", "[net.mlp]\nwidth = 3\nwidth = 4", "Cannot overwrite a value"),
    ("twice.json", '{"net": {"mlp": {"width": 3, "width": 4}}}', "has the key 'width' twice"),
    ("unknown.yaml", "nett: mlp", "unknown key 'nett'. Did you mean 'net'?"),
    ("unknown_number.yaml", "5: mlp", "unknown key '5'"),
    ("unread.yaml", "method: {entm: {eps: 0.1}}", "entm has no argument 'eps'"),
    ("table_as_key.yaml", "{[1]: 2}", "a key is a table or a list"),
    ("two.yaml", "method: {pat: {}, entm: {}}", "method"),
    ("list.yaml", "- net: mlp", "does not contain a table"),
    ("list.json", "[]", "does not contain a table"),
    ("empty.yaml", "", "is empty"),
    ("comment.toml", "# net = 1", "is empty"),
    ("null.json", "null", "is empty"),
    ("documents.yaml", "net: mlp\n---\nnet: lenet", "expected a single document"),
    ("utf16.yaml", "net: mlp".encode("utf-16"), "it seems to be UTF-16. Save it as UTF-8."),
    ("utf16.toml", 'net = "mlp"'.encode("utf-16-le"), "UTF-16 without a byte-order mark"),
    ("utf32.yaml", "net: mlp".encode("utf-32"), "UTF-32"),
    ("latin1.yaml", "net: mlp\ndata: größe".encode("latin-1"), "such as Latin-1 (line 2, byte 0xf6)"),
    ("zeros.yaml", b"net: m\0lp", "no text at all"),
    ("tab.yaml", "method:\n\tpat: {}", "line 2, column 1"),
    ("code.yaml", "net: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ("toml_as_yaml.cfg", "[net]\nwidth = 1", "A TOML file needs the suffix .toml"),
    ("nan.json", '{"net": {"mlp": {"width": NaN}}}', "NaN is no number of JSON"),
    ("deep.yaml", "net: " + "[" * 5000, "nested too deeply"),
    ("deep.json", '{"net": ' + "[" * 50000, "nested too deeply"),
    ("deep.toml", "a." * 40000 + "a = 1", "nested too deeply"),
    (
        "bomb.yaml",
        "\n".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}' if k else '1'] * 10)}]" for k in range(9)),
        "10,000",
    ),
    ("endless.yaml", "net: &a [*a]", "nested too deeply"),
    ("long.yaml", "net: mlp\n" * 20000, "has more than 100,000 bytes"),
]
