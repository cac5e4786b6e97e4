"""Finding the handler of a request: path templates, resources and their routes, sub-applications, tables of routes."""

from endwell.server.router.definitions import (
    AbstractRouteDef,
    RouteDef,
    RouteTableDef,
    StaticDef,
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
from endwell.server.router.dispatcher import ResourcesView, RoutesView, UrlDispatcher
from endwell.server.router.domains import AbstractRuleMatching, Domain, MaskDomain
from endwell.server.router.matches import MatchInfoError, UrlMappingMatchInfo
from endwell.server.router.resources import AbstractResource, DynamicResource, PlainResource, PrefixResource, Resource
from endwell.server.router.routes import AbstractRoute, ExpectHandler, Handler, ResourceRoute, SystemRoute
from endwell.server.router.subapps import MatchedSubAppResource, PrefixedSubAppResource

__all__ = (
    "AbstractResource",
    "AbstractRoute",
    "AbstractRouteDef",
    "AbstractRuleMatching",
    "Domain",
    "DynamicResource",
    "ExpectHandler",
    "Handler",
    "MaskDomain",
    "MatchInfoError",
    "MatchedSubAppResource",
    "PlainResource",
    "PrefixResource",
    "PrefixedSubAppResource",
    "Resource",
    "ResourceRoute",
    "ResourcesView",
    "RouteDef",
    "RouteTableDef",
    "RoutesView",
    "StaticDef",
    "SystemRoute",
    "UrlDispatcher",
    "UrlMappingMatchInfo",
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "route",
    "static",
    "view",
)
