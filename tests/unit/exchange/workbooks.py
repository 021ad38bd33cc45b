"""XLSX workbooks written by hand, the better to write them wrong."""

import io
import zipfile
from collections.abc import Mapping
from xml.sax.saxutils import escape

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
SHEET = "xl/worksheets/sheet1.xml"
STYLES = "xl/styles.xml"
STRINGS = "xl/sharedStrings.xml"

DATE_TIME, DATE, ELAPSED, EURO, CUSTOM_DATE = 1, 2, 3, 4, 5
"""Styles of `workbook`."""
_STYLES = (
    '<numFmts><numFmt numFmtId="164" formatCode="&quot;day&quot; 0.00\\\\ [$€-407]"/>'
    '<numFmt numFmtId="165" formatCode="[$-409]d\\.m\\.yyyy;@"/></numFmts>'
    '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="22"/><xf numFmtId="14"/><xf numFmtId="46"/><xf numFmtId="164"/>'
    '<xf numFmtId="165"/></cellXfs><dxfs><dxf><numFmt numFmtId="0" formatCode="d"/></dxf></dxfs>'
)
_STYLES = _STYLES.replace("\\\\", "\\")


def text(value: str) -> str:
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def number(value: object, style: int = 0) -> str:
    return f'<c s="{style}"><v>{value}</v></c>'


def row(*cells: str, attributes: str = "") -> str:
    return f"<row {attributes}>{''.join(cells)}</row>"


def header(*names: str) -> str:
    return row(*map(text, names))


def sheet(*rows: str, before: str = "", after: str = "") -> str:
    return f'<worksheet xmlns="{MAIN}">{before}<sheetData>{"".join(rows)}</sheetData>{after}</worksheet>'


def strings(*items: str) -> str:
    return f'<sst xmlns="{MAIN}">{"".join(f"<si>{item}</si>" for item in items)}</sst>'


def parts(sheet_xml: str, strings_xml: str | None = None, properties: str = "") -> dict[str, str]:
    """The files of a workbook with one sheet."""
    related = {"worksheet": "worksheets/sheet1.xml", "styles": "styles.xml", "sharedStrings": "/xl/sharedStrings.xml"}
    found = {
        "_rels/.rels": _relations({"officeDocument": "xl/workbook.xml"}),
        "xl/workbook.xml": (
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}">{properties}'
            '<sheets><sheet name="Stock" sheetId="1" r:id="worksheet"/></sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": _relations(related),
        STYLES: f'<styleSheet xmlns="{MAIN}">{_STYLES}</styleSheet>',
        SHEET: sheet_xml,
    }
    return found if strings_xml is None else {**found, STRINGS: strings_xml}


def packed(files: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def workbook(*rows: str, shared: str | None = None, properties: str = "") -> bytes:
    return packed(parts(sheet(*rows), shared, properties))


def of_sheets(**states: str) -> bytes:
    """A sheet of each name, in which the name stands below the header `sku`."""
    files: dict[str, str] = parts("")
    del files[SHEET]
    files["xl/_rels/workbook.xml.rels"] = _relations({name: f"worksheets/{name}.xml" for name in states}, "worksheet")
    tags = "".join(f'<sheet name="{name}" state="{state}" r:id="{name}"/>' for name, state in states.items())
    files["xl/workbook.xml"] = f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{tags}</sheets></workbook>'
    return packed(files | {f"xl/worksheets/{name}.xml": sheet(header("sku"), header(name)) for name in states})


def _relations(targets: Mapping[str, str], kind: str | None = None) -> str:
    tags = "".join(
        f'<Relationship Id="{name}" Type="{OFFICE}/{kind or name}" Target="{target}"/>'
        for name, target in targets.items()
    )
    return f'<Relationships xmlns="{RELATIONS}">{tags}</Relationships>'
