"""One prompt in a version: to read, to change into another version, and to try."""

from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.prompts import shown
from antiphon.api.services import project, services
from antiphon.dashboard.page import page, page_query, plain, routes_of, url_with
from antiphon.engine.prepare.prompts import prompt_not_found, version_number


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/prompts/{prompt_id}, or with `?version=` an older or newer one than the default"""
    prompt_id, prompts = request.path_params["prompt_id"], services(request).store.prompts
    asked = request.query_params.get("version") or None
    row = await prompts.get(project(request), prompt_id, version_number(asked))
    versions = await prompts.versions(project(request), prompt_id, page_query(request))
    if row is None or versions is None:
        raise prompt_not_found(prompt_id)
    prompt = plain(await shown(row))
    data = {
        "prompt": prompt,
        "versions": [str(each.version) for each in versions.rows],
        "next": url_with(request, after=str(versions.rows[-1].version)) if versions.more else None,
    }
    variables = msgspec.json.encode(dict.fromkeys(prompt["variables"], "")).decode()
    tried = {"prompt": prompt_id, "version": prompt["version"], "variables": variables}
    return await page(request, "prompt.html", data, helpers={"tried": urlencode(tried)})


routes = routes_of("/dashboard/prompts/{prompt_id}", show)
