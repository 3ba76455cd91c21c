"""What people look at: pages beside the API, on the same port.

A page is a module with its `routes`; `app` lists the pages. `page` shows a template, or the same as JSON
under the page's address with `.json` behind it. What models, clients and web pages wrote is text here:
templates escape, markdown is sanitised, and the headers of every answer (`edge`) let no script run but our
own.
"""
