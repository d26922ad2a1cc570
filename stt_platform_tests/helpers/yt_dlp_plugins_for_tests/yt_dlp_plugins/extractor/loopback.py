"""A site for tests: http://127.0.0.1:PORT/channel and /watch/ID, both JSON that the test's server makes."""

from yt_dlp.extractor.common import InfoExtractor


class LoopbackVideoIE(InfoExtractor):
    _VALID_URL = r"http://127\.0\.0\.1:\d+/watch/(?P<id>[^?#]+)"

    def _real_extract(self, url):
        page = self._download_json(url, self._match_id(url))
        return {"id": self._match_id(url), **page}


class LoopbackChannelTabIE(InfoExtractor):
    _VALID_URL = r"http://127\.0\.0\.1:\d+/channel(?:/(?P<id>\w+))?"

    def _real_extract(self, url):
        page = self._download_json(url, "channel")
        return self.playlist_result(page["entries"], "channel", page.get("title"))
