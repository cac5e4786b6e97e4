"""The server, under aiohttp's name of the module: applications, routes, requests, responses, and what runs them."""

from endwell.connection.serving import ServerConnection as RequestHandler
from endwell.server.appkey import AppKey, RequestKey, ResponseKey
from endwell.server.application import Application
from endwell.server.errors import (
    CleanupError,
    HTTPAccepted,
    HTTPBadGateway,
    HTTPBadRequest,
    HTTPClientError,
    HTTPConflict,
    HTTPCreated,
    HTTPError,
    HTTPException,
    HTTPExpectationFailed,
    HTTPFailedDependency,
    HTTPForbidden,
    HTTPFound,
    HTTPGatewayTimeout,
    HTTPGone,
    HTTPInsufficientStorage,
    HTTPInternalServerError,
    HTTPLengthRequired,
    HTTPMethodNotAllowed,
    HTTPMisdirectedRequest,
    HTTPMove,
    HTTPMovedPermanently,
    HTTPMultipleChoices,
    HTTPNetworkAuthenticationRequired,
    HTTPNoContent,
    HTTPNonAuthoritativeInformation,
    HTTPNotAcceptable,
    HTTPNotExtended,
    HTTPNotFound,
    HTTPNotImplemented,
    HTTPNotModified,
    HTTPOk,
    HTTPPartialContent,
    HTTPPaymentRequired,
    HTTPPermanentRedirect,
    HTTPPreconditionFailed,
    HTTPPreconditionRequired,
    HTTPProxyAuthenticationRequired,
    HTTPRedirection,
    HTTPRequestEntityTooLarge,
    HTTPRequestHeaderFieldsTooLarge,
    HTTPRequestRangeNotSatisfiable,
    HTTPRequestTimeout,
    HTTPRequestURITooLong,
    HTTPResetContent,
    HTTPSeeOther,
    HTTPServerError,
    HTTPServiceUnavailable,
    HTTPSuccessful,
    HTTPTemporaryRedirect,
    HTTPTooManyRequests,
    HTTPUnauthorized,
    HTTPUnavailableForLegalReasons,
    HTTPUnprocessableEntity,
    HTTPUnsupportedMediaType,
    HTTPUpgradeRequired,
    HTTPUseProxy,
    HTTPVariantAlsoNegotiates,
    HTTPVersionNotSupported,
    NotAppKeyWarning,
    PayloadAccessError,
    RequestPayloadError,
)
from endwell.server.event_stream import EventStreamResponse, event_stream
from endwell.server.file_response import FileResponse
from endwell.server.form import FileField
from endwell.server.middlewares import middleware, normalize_path_middleware
from endwell.server.request import BaseRequest, Request
from endwell.server.response import ContentCoding, StreamResponse
from endwell.server.router import (
    AbstractResource,
    AbstractRoute,
    AbstractRouteDef,
    DynamicResource,
    PlainResource,
    PrefixedSubAppResource,
    Resource,
    ResourceRoute,
    RouteDef,
    RouteTableDef,
    StaticDef,
    UrlDispatcher,
    UrlMappingMatchInfo,
    delete,
    get,
    head,
    options,
    patch,
    post,
    put,
    route,
    static,
    view,
)
from endwell.server.run import run_app
from endwell.server.runner import AppRunner, BaseRunner, GracefulExit, Server, ServerRunner
from endwell.server.sites import BaseSite, SockSite, TCPSite, UnixSite
from endwell.server.static import StaticResource
from endwell.server.view import View
from endwell.server.websocket import WebSocketReady, WebSocketResponse
from endwell.server.whole import Response, json_bytes_response, json_response
from endwell.wire.websocket import WSCloseCode, WSMsgType

# fmt: off
__all__ = (
    "AbstractResource", "AbstractRoute", "AbstractRouteDef", "AppKey", "AppRunner", "Application", "BaseRequest",
    "BaseRunner", "BaseSite", "CleanupError", "ContentCoding", "DynamicResource", "EventStreamResponse", "FileField",
    "FileResponse", "GracefulExit", "HTTPAccepted", "HTTPBadGateway", "HTTPBadRequest", "HTTPClientError",
    "HTTPConflict", "HTTPCreated", "HTTPError", "HTTPException", "HTTPExpectationFailed", "HTTPFailedDependency",
    "HTTPForbidden", "HTTPFound", "HTTPGatewayTimeout", "HTTPGone", "HTTPInsufficientStorage",
    "HTTPInternalServerError", "HTTPLengthRequired", "HTTPMethodNotAllowed", "HTTPMisdirectedRequest", "HTTPMove",
    "HTTPMovedPermanently", "HTTPMultipleChoices", "HTTPNetworkAuthenticationRequired", "HTTPNoContent",
    "HTTPNonAuthoritativeInformation", "HTTPNotAcceptable", "HTTPNotExtended", "HTTPNotFound", "HTTPNotImplemented",
    "HTTPNotModified", "HTTPOk", "HTTPPartialContent", "HTTPPaymentRequired", "HTTPPermanentRedirect",
    "HTTPPreconditionFailed", "HTTPPreconditionRequired", "HTTPProxyAuthenticationRequired", "HTTPRedirection",
    "HTTPRequestEntityTooLarge", "HTTPRequestHeaderFieldsTooLarge", "HTTPRequestRangeNotSatisfiable",
    "HTTPRequestTimeout", "HTTPRequestURITooLong", "HTTPResetContent", "HTTPSeeOther", "HTTPServerError",
    "HTTPServiceUnavailable", "HTTPSuccessful", "HTTPTemporaryRedirect", "HTTPTooManyRequests", "HTTPUnauthorized",
    "HTTPUnavailableForLegalReasons", "HTTPUnprocessableEntity", "HTTPUnsupportedMediaType", "HTTPUpgradeRequired",
    "HTTPUseProxy", "HTTPVariantAlsoNegotiates", "HTTPVersionNotSupported", "NotAppKeyWarning", "PayloadAccessError",
    "PlainResource", "PrefixedSubAppResource", "Request", "RequestHandler", "RequestKey", "RequestPayloadError",
    "Resource", "ResourceRoute", "Response", "ResponseKey", "RouteDef", "RouteTableDef", "Server", "ServerRunner",
    "SockSite", "StaticDef", "StaticResource", "StreamResponse", "TCPSite", "UnixSite", "UrlDispatcher",
    "UrlMappingMatchInfo", "View", "WSCloseCode", "WSMsgType", "WebSocketReady", "WebSocketResponse", "delete",
    "event_stream", "get", "head", "json_bytes_response", "json_response", "middleware", "normalize_path_middleware",
    "options", "patch", "post", "put", "route", "run_app", "static", "view",
)
# fmt: on
