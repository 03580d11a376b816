"""A probe for a protocol that does not exist yet, without half of its methods."""

from pydantic import BaseModel


class Unfinished:
    name, version, summary, access = "unfinished", "0", "Not yet.", "step"
    api_version = 99

    class Params(BaseModel):
        pass

    def captures(self):
        return []
