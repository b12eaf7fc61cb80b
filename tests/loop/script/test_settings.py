import pytest

from progressive_training.loop.errors import ScriptError
from progressive_training.loop.script.folding import UNRESOLVED
from progressive_training.loop.script.places import Setting
from progressive_training.loop.script.settings import replace_setting, settings
from progressive_training.loop.script.source import Script

ADD = "add_argument"


def read(text: str) -> tuple[Setting, ...]:
    return settings(Script.parse(text, "a.py"))


def only(text: str, name: str) -> Setting:
    (found,) = [setting for setting in read(text) if setting.name == name]
    return found


@pytest.mark.parametrize(
    ("text", "name", "kind", "callee", "symbol", "value", "editable"),
    [
        ("EPOCHS = 10", "EPOCHS", "constant", None, "EPOCHS", 10, True),
        ("LR: float = -1e-3", "LR", "constant", None, "LR", -1e-3, True),
        ("A, LR = 1, 0.5", "LR", "constant", None, "A", 0.5, True),
        ("BETAS = (0.9, 0.999)", "BETAS", "constant", None, "BETAS", (0.9, 0.999), True),
        ("class C:\n    lr = 1e-3", "lr", "field", None, "C.lr", 1e-3, True),
        ("class C:\n    lr: float = field(default=0.1)", "lr", "field", None, "C.lr", 0.1, True),
        ("class C:\n    lr: float = Field(0.1, gt=0)", "lr", "field", None, "C.lr", 0.1, True),
        ("class C:\n    def __init__(self, x, lr=0.1): ...", "lr", "default", None, "C.__init__", 0.1, True),
        ("def f(a, /, b, *, lr=0.1, c): ...", "lr", "default", None, "f", 0.1, True),
        ("def f():\n    t = L.Trainer(max_epochs=3)", "max_epochs", "keyword", "Trainer", "f", 3, True),
        ("if __name__ == '__main__':\n    f(epochs=3)", "epochs", "keyword", "f", "__main__", 3, True),
        ("t = Trainer(max_epochs=3)", "max_epochs", "keyword", "Trainer", "t", 3, True),
        ("if x:\n    Trainer(max_epochs=3)", "max_epochs", "keyword", "Trainer", "<module>", 3, True),
        ("@run(lr=3)\ndef f(): ...", "lr", "keyword", "run", "f", 3, True),
        ("p.add_argument('--lr', '-l', type=float, default=0.1)", "lr", "argparse", ADD, "<module>", 0.1, True),
        ("p.add_argument('-b', '--batch-size', default=8)", "batch_size", "argparse", ADD, "<module>", 8, True),
        ("p.add_argument('-b', dest='bs', type=int, default='8')", "bs", "argparse", ADD, "<module>", 8, True),
        ("CONFIG = {'a': {'lr': 1e-3}}", "lr", "field", None, "CONFIG", 1e-3, True),
        ("L.seed_everything(42, workers=True)", "seed", "positional", "seed_everything", "<module>", 42, True),
        ("torch.manual_seed(0)", "seed", "positional", "manual_seed", "<module>", 0, True),
        ("np.random.seed(7)", "seed", "positional", "seed", "<module>", 7, True),
        ("class M:\n    def f(self):\n        return nn.Dropout(0.1)", "p", "positional", "Dropout", "M.f", 0.1, True),
        ("Adam(model.parameters(), 1e-3)", "lr", "positional", "Adam", "<module>", 1e-3, True),
        ("class M:\n    def f(self):\n        self.lr = 0.1", "lr", "field", None, "M.f", 0.1, True),
        ("def main():\n    epochs = 5", "epochs", "constant", None, "main", 5, True),
        ("cfg.epochs = 50", "epochs", "override", None, "<module>", 50, True),
        ("cfg['epochs'] = 50", "epochs", "override", None, "<module>", 50, True),
        ("os.environ['EPOCHS'] = '50'", "EPOCHS", "override", "environ", "<module>", "50", True),
        ("N = int(os.getenv('EPOCHS', '50'))", "EPOCHS", "override", "environ", "N", "50", True),
    ],
)  # fmt: skip
def test_every_kind_of_place_is_found(
    text: str, name: str, kind: str, callee: str | None, symbol: str, value: object, editable: bool
) -> None:
    found = only(text + "\n", name)
    assert (found.kind, found.callee, found.symbol) == (kind, callee, symbol)
    assert (found.value, type(found.value), found.editable) == (value, type(value), editable)
    assert text.encode()[found.start : found.end]


@pytest.mark.parametrize(
    ("head", "expression", "value"),
    [
        ("BASE = 4\n", "BASE * 2 + 1", 9),
        ("BASE = 1e-3\n", "-BASE", -1e-3),
        ("BASE = '8'\n", "int(BASE)", 8),
        ("BASE = 8\n", "float(BASE)", 8.0),
        ("BASE = 2\n", "BASE ** 3 // 3", 2),
        ("A = 3\nBASE = A\n", "BASE", 3),
        ("", "[1, 2]", (1, 2)),
        ("", "True", True),
        ("", "not True", False),
        ("", "10 ** 400", UNRESOLVED),
        ("", "1 / 0", UNRESOLVED),
        ("BASE = 1\nBASE = 2\n", "BASE", UNRESOLVED),
        ("BASE = 1\nBASE += 2\n", "BASE", UNRESOLVED),
        ("BASE = 1\ndef g():\n    global BASE\n    BASE = 3\n", "BASE", UNRESOLVED),
        ("for BASE in (1, 2): pass\n", "BASE", UNRESOLVED),
        ("BASE = 1\nif x:\n    BASE = 2\n", "BASE", UNRESOLVED),
        ("from config import BASE\n", "BASE", UNRESOLVED),
        ("A = B\nB = A\n", "A", UNRESOLVED),
        ("", "cfg.lr", UNRESOLVED),
        ("", "1 if x else 2", UNRESOLVED),
        ("", "f'{1}'", UNRESOLVED),
        ("", "b'x'", UNRESOLVED),
    ],
)
def test_a_value_is_folded_only_where_it_is_certain(head: str, expression: str, value: object) -> None:
    found = only(f"{head}use(rate={expression})\n", "rate")
    assert found.value == value
    assert found.editable == (expression in ("[1, 2]", "True"))


def test_a_name_means_what_its_own_scope_says() -> None:
    text = (
        "lr = 1\n"
        "def by_parameter(lr): use(a=lr)\n"
        "def by_local():\n    lr = 2\n    use(b=lr)\n"
        "def outer():\n    lr = 3\n    def inner():\n        use(c=lr)\n"
        "class C:\n    lr = 4\n    d = use(d=lr)\n    def method(self): use(e=lr)\n"
        "def comprehended(): return [use(f=lr) for lr in range(3)], (lambda lr: use(g=lr)), use(h=lr)\n"
    )
    values = {found.name: found.value for found in read(text) if found.kind == "keyword"}
    assert values == {"a": UNRESOLVED, "b": 2, "c": 3, "d": 4, "e": 1, "f": UNRESOLVED, "g": UNRESOLVED, "h": 1}


def test_the_names_that_a_value_goes_to_are_its_context() -> None:
    text = "val_loader, train_loader = DataLoader(a, batch_size=1), DataLoader(dataset=self.train_ds, batch_size=2)\n"
    one, two = [found for found in read(text) if found.name == "batch_size"]
    assert one.context == ("val_loader", "a")
    assert two.context == ("train_loader", "train_ds", "self")


def test_unknown_things_in_returned_dicts_are_no_settings() -> None:
    assert read("def f():\n    return {'optimizer': opt, 'interval': 'epoch'}\n")[0].name == "interval"
    assert len(read("def f():\n    return {'optimizer': opt}\n")) == 0
    assert only("C = {'lr': f()}\n", "lr").value is UNRESOLVED


def test_replacing_a_value_keeps_every_other_byte() -> None:
    text = "# 에폭 수 😀\r\nEPOCHS = 10  # 한글 주석\r\n이름 = '한글'; t = Trainer(max_epochs = 3 ,lr=1e-3)\r\n"
    script = Script.parse(text, "a.py")
    by_name = {found.name: found for found in settings(script)}
    assert replace_setting(script, by_name["EPOCHS"], 20) == text.replace("= 10", "= 20")
    assert replace_setting(script, by_name["max_epochs"], 5) == text.replace("= 3 ,", "= 5 ,")
    assert replace_setting(script, by_name["lr"], 3e-05) == text.replace("1e-3", "3e-5")
    assert replace_setting(script, by_name["이름"], "새") == text.replace("'한글'; t", "'새'; t")


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("1e-3", 0.001, "0.001"),
        ("1", 1e-8, "1e-8"),
        ("1", 1e22, "1e22"),
        ("1", float("inf"), 'float("inf")'),
        ('"adam"', "adamw", '"adamw"'),
        ("'adam'", "adamw", "'adamw'"),
        ("1", 'it is "it"', "'it is \"it\"'"),
        ("(1, 2)", (3,), "(3,)"),
        ("[1, 2]", (3, 4), "[3, 4]"),
        ("1", True, "True"),
        ("1", None, "None"),
        ("-1", -2, "-2"),
    ],
)
def test_a_literal_is_written_as_a_person_would(before: str, value: object, after: str) -> None:
    script = Script.parse(f"X = {before}\n", "a.py")
    assert replace_setting(script, settings(script)[0], value) == f"X = {after}\n"


def test_a_setting_of_another_text_is_refused() -> None:
    setting = read("EPOCHS = 10\n")[0]
    with pytest.raises(ScriptError, match="any more"):
        replace_setting(Script.parse("LONGER = 10\n", "a.py"), setting, 3)


def test_a_value_without_a_literal_is_refused() -> None:
    script = Script.parse("EPOCHS = 10\n", "a.py")
    with pytest.raises(ScriptError, match="object"):
        replace_setting(script, settings(script)[0], object())
