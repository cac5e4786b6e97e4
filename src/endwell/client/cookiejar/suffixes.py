"""Public suffixes: domains below which anybody can register a name, so that no cookie may be set for all of them.

RFC 6265bis section 5.7. Used by ``rules``. With the extra ``endwell[psl]`` the whole list is asked, read once at the
first cookie with a ``Domain`` (about 50 ms). Without it a table stands in for the suffixes that are met most often;
top-level domains are always refused.
"""

from functools import cache
from typing import Final, Protocol, cast

__all__ = ("is_public_suffix",)


class _SuffixList(Protocol):
    def is_public(self, domain: str) -> bool: ...


def is_public_suffix(domain: str) -> bool:
    """Tell whether `domain` (lower case, A-labels) is a public suffix; a final dot makes no difference."""
    domain = domain.removesuffix(".")
    if "." not in domain:
        return True
    complete = _complete_list()
    return domain in _common_suffixes() if complete is None else complete.is_public(domain)


@cache
def _complete_list() -> _SuffixList | None:
    try:
        from publicsuffixlist import PublicSuffixList
    except ImportError:
        return None
    return cast("_SuffixList", PublicSuffixList())


@cache
def _common_suffixes() -> frozenset[str]:
    registries = (f"{label}.{top}" for top, labels in _SECOND_LEVEL.items() for label in labels.split())
    return frozenset((*registries, *_HOSTING.split()))


# Registries that sell names below a second label.
_SECOND_LEVEL: Final = {
    "ae": "ac co gov mil net org sch",
    "ar": "com edu gob gov int mil net org",
    "at": "ac co gv or",
    "au": "asn com edu gov id net org",
    "bd": "ac com edu gov net org",
    "br": "art blog com eco edu gov jus leg mil net org",
    "cn": "ac com edu gov mil net org",
    "co": "com edu gov mil net nom org",
    "cr": "ac co fi go or",
    "cy": "ac com gov net org",
    "do": "com edu gob gov net org",
    "ec": "com edu fin gob gov net org",
    "eg": "com edu gov net org",
    "es": "com edu gob nom org",
    "fr": "asso com gouv nom prd",
    "gh": "com edu gov org",
    "gr": "com edu gov net org",
    "gt": "com edu gob net org",
    "hk": "com edu gov idv net org",
    "hu": "co info org",
    "id": "ac co desa go mil my net or sch web",
    "il": "ac co gov idf k12 muni net org",
    "in": "ac co edu firm gen gov ind mil net nic org res",
    "ir": "ac co gov id net org sch",
    "it": "edu gov",
    "jp": "ac ad co ed go gr lg ne or",
    "ke": "ac co go info me mobi ne or sc",
    "kr": "ac co go hs mil ms ne or pe re sc",
    "lk": "ac com edu gov net org",
    "ma": "ac co gov net org press",
    "mx": "com edu gob net org",
    "my": "com edu gov mil name net org",
    "ng": "com edu gov net org",
    "nz": "ac co cri geek gen govt health iwi kiwi maori mil net org parliament school",
    "pe": "com edu gob mil net nom org",
    "ph": "com edu gov mil net ngo org",
    "pk": "com edu gov net org",
    "pl": "com edu gov info net org waw",
    "pt": "com edu gov net org",
    "py": "com edu gov net org",
    "ro": "com info nom org store www",
    "rs": "ac co edu gov in org",
    "ru": "ac edu gov int mil",
    "sa": "com edu gov med net org pub sch",
    "sg": "com edu gov net org",
    "sv": "com edu gob org red",
    "th": "ac co go in mi net or",
    "tr": "av bbs bel biz com dr edu gen gov info k12 mil name net org pol tel tv web",
    "tw": "club com ebiz edu game gov idv mil net org",
    "ua": "com edu gov in kiev kyiv lviv net odesa org",
    "ug": "ac co com go ne or org sc",
    "uk": "ac co gov ltd me net nhs org plc police sch",
    "uy": "com edu gub mil net org",
    "ve": "co com edu gob gov info net org web",
    "vn": "ac com edu gov net org",
    "za": "ac co edu gov law mil net nom org school web",
    "zm": "ac co com edu gov net org",
    "zw": "ac co gov org",
}

# Companies that give a name below theirs to everybody.
_HOSTING: Final = """
a.run.app amplifyapp.com appspot.com azure-api.net azureedge.net azurestaticapps.net azurewebsites.net bitbucket.io
blogspot.com cdn.cloudflare.net cloudapp.net cloudfront.net cloudfunctions.net co.com csb.app ddns.net deno.dev
duckdns.org dyndns.org eu.com eu.org firebaseapp.com fly.dev gitbook.io github.io gitlab.io herokuapp.com hf.space
hopto.org lovable.app myfritz.net myshopify.com netlify.app ngrok-free.app ngrok.app ngrok.dev ngrok.io no-ip.org
now.sh ondigitalocean.app onrender.com pages.dev pythonanywhere.com r2.dev readthedocs.io repl.co replit.app
replit.dev s3.amazonaws.com streamlit.app supabase.co surge.sh synology.me translate.goog trycloudflare.com uk.com
up.railway.app us.com vercel.app web.app webflow.io wixsite.com workers.dev zapto.org
"""
