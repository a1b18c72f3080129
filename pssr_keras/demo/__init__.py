"""A page to play with: attack a shipped PSSR with or without knowledge of it, and see every stage.

pictures   from what a visitor draws or uploads to an image
choices    what a visitor may choose from
walking    an attack step by step, for the loss along it
answering  a question and its answer
markup     an answer as HTML
turns      one visitor after another
canvas     a board to draw on
page       the page itself
script     what Streamlit runs
server     serve it, and compile in the background

The page is made with Streamlit and not with Gradio: beside this package's own dependencies it brings 10
packages and not 31, it keeps what visitors upload in memory where Gradio writes files, and its pages load
nothing from elsewhere. Only `canvas`, `page` and `script` need it.
"""
