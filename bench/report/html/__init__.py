"""report.html: one page of a study that needs nothing but a browser.

`page.py` collects what stands on it and fills `page.html.jinja`; `studies.py` does so for the page
of several studies. `explorer.py` chooses the runs
whose decoders are on it; `drawn.py` keeps these in the runs' folders, and `decoder.py` takes a
trained decoder apart into layers and weights, which `decoder.js` puts together again. `charts.py`
has the coordinates of the plots, `images.py` the pictures, `texts.py` what texts must not hold.
`explorer.js` and `page.js` are the page's controls, `style.css` its looks.
"""
