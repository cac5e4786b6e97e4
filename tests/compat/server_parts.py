"""Which parts of aiohttp's server API `surface.json` describes; `collect.py` reads them."""

from __future__ import annotations

WEBSOCKET = {"WSMsgType", "WebSocketReady", "WebSocketResponse"}
WINDOWS = {"NamedPipeSite"}
# Fixtures under the names that they had once, deprecated since.
OLD_FIXTURES = {"raw_test_server", "test_client", "test_server", "unused_port"}
LEFT_OUT = OLD_FIXTURES

SIGNATURES = [
    "web.Application",
    "web.Application.add_routes",
    "web.Application.add_subapp",
    "web.Application.add_domain",
    "web.Application.make_handler",
    "web.AppKey",
    "web.RequestKey",
    "web.ResponseKey",
    "web.run_app",
    "web.BaseRunner",
    "web.AppRunner",
    "web.ServerRunner",
    "web.BaseSite",
    "web.TCPSite",
    "web.UnixSite",
    "web.SockSite",
    "web.Server",
    "web.Request.clone",
    "web.Request.get_extra_info",
    "web.Request.json",
    "web.Request.multipart",
    "web.Request.post",
    "web.Request.read",
    "web.Request.text",
    "web.StreamResponse",
    "web.StreamResponse.set_status",
    "web.StreamResponse.set_cookie",
    "web.StreamResponse.del_cookie",
    "web.StreamResponse.enable_chunked_encoding",
    "web.StreamResponse.enable_compression",
    "web.StreamResponse.prepare",
    "web.StreamResponse.write",
    "web.StreamResponse.write_eof",
    "web.Response",
    "web.Response.write_eof",
    "web.FileResponse",
    "web.json_response",
    "web.json_bytes_response",
    "web.UrlDispatcher",
    "web.UrlDispatcher.add_resource",
    "web.UrlDispatcher.add_route",
    "web.UrlDispatcher.add_static",
    "web.UrlDispatcher.add_head",
    "web.UrlDispatcher.add_options",
    "web.UrlDispatcher.add_get",
    "web.UrlDispatcher.add_post",
    "web.UrlDispatcher.add_put",
    "web.UrlDispatcher.add_patch",
    "web.UrlDispatcher.add_delete",
    "web.UrlDispatcher.add_view",
    "web.UrlDispatcher.add_routes",
    "web.UrlDispatcher.register_resource",
    "web.UrlDispatcher.resolve",
    "web.RouteDef",
    "web.StaticDef",
    "web.route",
    "web.head",
    "web.options",
    "web.get",
    "web.post",
    "web.put",
    "web.patch",
    "web.delete",
    "web.view",
    "web.static",
    "web.RouteTableDef",
    "web.RouteTableDef.route",
    "web.RouteTableDef.head",
    "web.RouteTableDef.get",
    "web.RouteTableDef.post",
    "web.RouteTableDef.put",
    "web.RouteTableDef.patch",
    "web.RouteTableDef.delete",
    "web.RouteTableDef.options",
    "web.RouteTableDef.view",
    "web.RouteTableDef.static",
    "web.Resource",
    "web.Resource.add_route",
    "web.PlainResource",
    "web.PlainResource.url_for",
    "web.DynamicResource",
    "web.DynamicResource.url_for",
    "web.StaticResource",
    "web.StaticResource.url_for",
    "web.View",
    "web.FileField",
    "web.middleware",
    "web.normalize_path_middleware",
    "web.HTTPException",
    "web.HTTPNotFound",
    "web.HTTPFound",
    "web.HTTPMethodNotAllowed",
    "web.HTTPRequestEntityTooLarge",
    "web.HTTPUnavailableForLegalReasons",
    "web.HTTPInternalServerError",
    "abc.AbstractAccessLogger",
    "abc.AbstractAccessLogger.log",
    "abc.AbstractRouter.resolve",
    "abc.AbstractView",
    "test_utils.TestServer",
    "test_utils.RawTestServer",
    "test_utils.BaseTestServer.make_url",
    "test_utils.BaseTestServer.start_server",
    "test_utils.TestClient",
    "test_utils.TestClient.make_url",
    "test_utils.TestClient.get",
    "test_utils.TestClient.request",
    "test_utils.make_mocked_request",
    "test_utils.make_mocked_coro",
    "test_utils.unused_port",
    "test_utils.get_port_socket",
    "test_utils.get_unused_port_socket",
    "test_utils.loop_context",
    "test_utils.setup_test_loop",
    "test_utils.teardown_test_loop",
]

DEPRECATED = {site: ["shutdown_timeout"] for site in ("web.BaseSite", "web.TCPSite", "web.UnixSite", "web.SockSite")}

_MAPPING = " clear get items keys pop popitem setdefault update values"
_RESPONSE = """body_length charset chunked compression content_length content_type cookies del_cookie drain
    enable_chunked_encoding enable_compression etag force_close headers keep_alive last_modified output_length prepare
    prepared reason set_cookie set_status status task write write_eof"""

MEMBERS = {
    "web.Application": """add_domain add_routes add_subapp cleanup cleanup_ctx debug freeze frozen logger loop
        make_handler middlewares on_cleanup on_response_prepare on_shutdown on_startup pre_freeze pre_frozen router
        shutdown startup"""
    + _MAPPING,
    "web.Request": """POST_METHODS app body_exists can_read_body charset client_max_fields client_max_size clone
        config_dict content content_length content_type cookies forwarded get_extra_info has_body headers host
        http_range if_match if_modified_since if_none_match if_range if_unmodified_since json keep_alive loop match_info
        message method multipart path path_qs post protocol query query_string raw_headers raw_path read rel_url release
        remote scheme secure task text transport url version writer"""
    + _MAPPING,
    "web.StreamResponse": _RESPONSE + _MAPPING,
    "web.Response": "body text " + _RESPONSE + _MAPPING,
    "web.FileResponse": _RESPONSE + _MAPPING,
    "web.UrlDispatcher": """add_delete add_get add_head add_options add_patch add_post add_put add_resource add_route
        add_routes add_static add_view freeze frozen get index_resource items keys named_resources post_init
        register_resource resolve resources routes unindex_resource values""",
    "web.Resource": "add_prefix add_route canonical freeze get_info name raw_match register_route resolve url_for",
    "web.ResourceRoute": "get_info handle_expect_header handler method name resource url_for",
    "web.StaticResource": "canonical get_info name resolve set_options_route url_for",
    "web.UrlMappingMatchInfo": """add_app apps copy current_app expect_handler freeze fromkeys get_info handler
        http_exception route"""
    + _MAPPING,
    "web.RouteTableDef": "count delete get head index options patch post put route static view",
    "web.RouteDef": "handler kwargs method path register",
    "web.StaticDef": "kwargs path prefix register",
    "web.FileField": "content_type file filename headers name",
    "web.BaseRunner": "addresses cleanup server setup shutdown sites",
    "web.AppRunner": "addresses app cleanup server setup shutdown sites",
    "web.ServerRunner": "addresses cleanup server setup shutdown sites",
    "web.BaseSite": "name start stop",
    "web.TCPSite": "name port start stop",
    "web.Server": """connections handler_cancellation pre_shutdown request_factory request_handler requests_count
        shutdown""",
    "web.RequestHandler": """close connected connection_lost connection_made data_received eof_received force_close
        pause_reading pause_writing peername resume_reading resume_writing sockname ssl_context transport""",
    "web.HTTPException": "body empty_body headers reason status status_code text",
    "web.HTTPMove": "location",
    "web.HTTPMethodNotAllowed": "allowed_methods method",
    "web.HTTPUnavailableForLegalReasons": "link",
    "abc.AbstractRouter": "freeze frozen post_init resolve",
    "abc.AbstractMatchInfo": "add_app apps expect_handler freeze get_info handler http_exception",
    "abc.AbstractView": "request",
    "abc.AbstractAccessLogger": "enabled log log_format logger",
    "test_utils.TestClient": """app close delete get head host make_url options patch port post put request server
        session start_server""",
    "test_utils.TestServer": "close closed handler make_url start_server started",
    "test_utils.RawTestServer": "close closed handler make_url start_server started",
}
