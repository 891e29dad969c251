"""Runs the 1C code of our guides: a translation of the part of the language that they use, over a fake HTTP library.

Line by line: one statement a line, names spelled alike everywhere. What isn't understood is a syntax error of Python,
so a guide can't quietly go untested.
"""

# ruff: noqa: N802 - the names of the platform
import json
import re
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

WORDS = {
    "И": "and",
    "Или": "or",
    "ИЛИ": "or",
    "Не": "not",
    "НЕ": "not",
    "Неопределено": "None",
    "Истина": "True",
    "Ложь": "False",
    "Новый": "",
    "Знач": "",
    "Экспорт": "",
    "<>": "!=",
    "=": "==",
}
TOKEN = re.compile(r'"(?:[^"]|"")*"|//.*|<>|<=|>=|\w+|[^\w\s]|\s+')
ENDS = ("КонецЕсли", "КонецЦикла", "КонецФункции", "КонецПроцедуры", "КонецПопытки")


def translate(source: str) -> str:
    """The code as Python."""
    lines, depth = [], 0
    for line in source.splitlines():
        tokens = [token for token in TOKEN.findall(line) if not token.isspace() and not token.startswith("//")]
        if not tokens:
            continue
        if tokens[0] in (*ENDS, "ИначеЕсли", "Иначе", "Исключение"):
            depth -= 1
        if tokens[0] not in ENDS:
            lines.append("    " * depth + _statement(tokens))
        if lines[-1].endswith(":") and tokens[0] not in ENDS:
            depth += 1
    return "\n".join(lines)


def _statement(tokens: list[str]) -> str:
    first, rest = tokens[0], [token for token in tokens[1:] if token != ";"]
    if first in ("Функция", "Процедура"):
        return f"def {_expression(rest).replace('==', '=')}:"
    if first in ("Если", "ИначеЕсли", "Пока"):
        word = {"Если": "if", "ИначеЕсли": "elif", "Пока": "while"}[first]
        return f"{word} {_expression(rest[:-1])}:"
    if first == "Для":
        name, start, end = rest[0], rest[2], _expression(rest[4:-1])
        return f"for {name} in range({start}, {end} + 1):"
    if first in ("Иначе", "Попытка", "Исключение"):
        return {"Иначе": "else:", "Попытка": "try:", "Исключение": "except Exception:"}[first]
    if first in ("Возврат", "ВызватьИсключение"):
        value = _expression(rest)
        return f"return {value}" if first == "Возврат" else f"raise Исключение({value})"
    if "=" in tokens and tokens.index("=") < (tokens.index("(") if "(" in tokens else len(tokens)):
        place = tokens.index("=")
        return f"{''.join(tokens[:place])} = {_expression([t for t in tokens[place + 1 :] if t != ';'])}"
    return _expression([first, *rest])


def _expression(tokens: list[str]) -> str:
    out: list[str] = []
    for number, token in enumerate(tokens):
        if token.startswith('"'):
            out.append(repr(token[1:-1].replace('""', '"')))
        elif number and tokens[number - 1] == "Новый":
            out.append(token + ("" if tokens[number + 1 : number + 2] == ["("] else "()"))
        else:
            out.append(WORDS.get(token, token))
    return " ".join(part for part in out if part)


class Исключение(Exception):
    pass


class Структура:
    def __init__(self, keys: str = "", *values: Any) -> None:
        for number, key in enumerate(filter(None, re.split(r"[,\s]+", keys))):
            setattr(self, key, values[number] if number < len(values) else None)

    def Вставить(self, key: str, value: Any) -> None:
        setattr(self, key, value)

    def Свойство(self, key: str) -> bool:
        return key in vars(self)


class Соответствие(dict[str, Any]):
    def Вставить(self, key: str, value: Any) -> None:
        self[key] = value

    def Получить(self, key: str) -> Any:
        return next((value for name, value in self.items() if name.lower() == key.lower()), None)


class ЗаписьJSON:
    def УстановитьСтроку(self) -> None:
        self.text = ""

    def Закрыть(self) -> str:
        return self.text


class ЧтениеJSON:
    def УстановитьСтроку(self, text: str) -> None:
        self.text = text

    def Закрыть(self) -> None:
        del self.text


class HTTPЗапрос:
    def __init__(self, address: str, headers: Соответствие) -> None:
        self.address, self.headers, self.body = address, Соответствие(headers), b""

    @property
    def Заголовки(self) -> Соответствие:
        return self.headers

    def УстановитьТелоИзСтроки(self, text: str, encoding: str, mark: str) -> None:
        assert (encoding, mark) == ("UTF8", "НеИспользовать")
        self.body = text.encode()


class HTTPОтвет:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.КодСостояния, self.Заголовки, self._body = status, Соответствие(headers), body

    def ПолучитьТелоКакСтроку(self, encoding: str) -> str:
        assert encoding == "UTF8"
        return self._body.decode()


class _Names:
    """An enumeration of the platform: each name is its own value."""

    def __getattr__(self, name: str) -> str:
        return name


Send = Callable[[str, HTTPЗапрос], HTTPОтвет]


def module(source: str, send: Send, waited: list[int], **more: Any) -> dict[str, Any]:
    """The functions of a module. `send` is the network; `waited` hears how long the code pauses."""

    class HTTPСоединение:
        def __init__(self, server: str, port: int, *rest: Any) -> None:
            assert server
            assert isinstance(port, int)
            assert rest[-1] == "TLS"

        def ВызватьHTTPМетод(self, method: str, request: HTTPЗапрос) -> HTTPОтвет:
            return send(method, request)

    class Задание:
        def ОжидатьЗавершенияВыполнения(self, seconds: int) -> None:
            waited.append(seconds)

    class Сеанс:
        def ПолучитьФоновоеЗадание(self) -> Задание:
            return Задание()

    known: dict[str, Any] = {
        "Исключение": Исключение,
        "Структура": Структура,
        "Соответствие": Соответствие,
        "ЗаписьJSON": ЗаписьJSON,
        "ЧтениеJSON": ЧтениеJSON,
        "HTTPЗапрос": HTTPЗапрос,
        "HTTPСоединение": HTTPСоединение,
        "ЗащищенноеСоединениеOpenSSL": lambda: "TLS",
        "КодировкаТекста": _Names(),
        "ИспользованиеByteOrderMark": _Names(),
        "СпособКодированияСтроки": _Names(),
        "КодироватьСтроку": lambda text, _kind: quote(text, safe=""),
        "ЗаписатьJSON": lambda writer, value: setattr(writer, "text", json.dumps(_plain(value), ensure_ascii=False)),
        "ПрочитатьJSON": lambda reader: _structure(json.loads(reader.text)),
        "Число": int,
        "ИнформацияОбОшибке": lambda: sys.exc_info()[1],
        "КраткоеПредставлениеОшибки": str,
        "ПолучитьТекущийСеансИнформационнойБазы": Сеанс,
        **more,
    }
    exec(translate(source), known)
    return known


def _plain(value: Any) -> Any:
    return {key: _plain(inner) for key, inner in vars(value).items()} if isinstance(value, Структура) else value


def _structure(value: Any) -> Any:
    if isinstance(value, list):
        return [_structure(item) for item in value]
    if not isinstance(value, dict):
        return value
    structure = Структура()
    for key, inner in value.items():
        # The platform refuses keys that are no identifiers.
        assert key.isidentifier(), key
        structure.Вставить(key, _structure(inner))
    return structure
