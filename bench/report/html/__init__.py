"""report.html: one page of a study that needs nothing but a browser.

`page.py` collects what stands on it and fills `page.html.jinja`. `explorer.py` chooses the runs
whose decoders are on it, and `decoder.py` takes a trained decoder apart into layers and weights,
which `decoder.js` puts together again. `charts.py` has the coordinates of the plots. `explorer.js`
and `page.js` are the page's controls, `style.css` its looks.
"""
