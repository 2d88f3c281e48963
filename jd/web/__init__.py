"""What the pages of the Hub and of the job server share: how files are served, their look, their script.

`files` serves the files of a package; `common.js` and the style sheets beside it are sent to browsers. Server
and Hub import it.
"""
