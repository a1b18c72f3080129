"""What Streamlit runs for every visitor, again after every choice."""

from pssr_keras.demo import page

page.show()
