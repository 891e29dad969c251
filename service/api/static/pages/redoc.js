// A file of its own, because the page's policy allows no inline script.
Redoc.init("/openapi.json", { hideLoading: true }, document.getElementById("redoc"));
