"""The page of a spool without a server: `index.html`, and `index.js` with what it shows."""
