"""An executed notebook as Markdown: its text, code and output as committed; nothing is executed.

Made here and not by nbconvert, whose output of a cell cannot be told from its code.
"""

import base64
import json


def markdown(path):
    """The text of a notebook, and its figures, {path beside the page: bytes}."""
    parts, figures = [], {}
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text.replace("<details>", '<details markdown="1">'))
        elif cell["cell_type"] == "code" and text:
            parts.append(fenced(text, "python"))
            for place, output in enumerate(cell["outputs"]):
                data = output.get("data", {})
                if "image/png" in data:
                    name = f"{path.stem}_files/{number}_{place}.png"
                    figures[name] = base64.b64decode(data["image/png"])
                    parts.append(f"![What the cell above draws]({name})")
                elif printed := "".join(output.get("text", data.get("text/plain", ""))).strip("\n"):
                    parts.append(fenced(printed, "text", "output"))
    return "\n\n".join(parts) + "\n", figures


def fenced(text, *classes):
    """A block of code, fenced by more backticks than it has."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{{ {' '.join(f'.{name}' for name in classes)} }}\n{text}\n{fence}"
