"""Every knob, as environment variables `LIKENESS_*`. A bad value stops the start and names the variable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from model.errors import BadInput


class Settings(BaseSettings):
    """What an installation decides. The command line's options take precedence."""

    model_config = SettingsConfigDict(env_prefix="LIKENESS_", frozen=True)

    home: Path = Field(Path.home() / ".local/share/likeness", description="the data folder")
    database_url: str | None = Field(None, description="a SQLAlchemy URL; empty: SQLite inside the data folder")
    host: str = Field("127.0.0.1", description="the address the page listens on; it passes /v1 on to the API")
    port: int = Field(8000, ge=1, le=65535, description="the page's port, the one URL a person opens")
    api_port: int = Field(8001, ge=1, le=65535, description="the API's own port")
    api_host: str = Field("127.0.0.1", description="the address the API's own port listens on")
    api_key: str | None = Field(
        None,
        min_length=16,
        repr=False,
        description="a key of 16 characters or more that people and programs must bring",
    )
    open: bool = Field(False, description="serve other machines although no key is set")
    allowed_hosts: str = Field("", description="further host names that may be in a request, by comma")
    import_roots: str = Field("", description="folders the API may import from, by the system's path separator")
    max_upload_mb: int = Field(16_384, ge=1, description="the largest request that brings pictures, in MB")
    max_batch_mb: int = Field(
        262_144, ge=1, description="the most that the files of one upload may hold together, in MB"
    )
    requests_per_minute: int = Field(
        12_000, ge=1, description="requests that one other machine may send in a minute; this one's are not counted"
    )
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="where models run: auto, cpu or cuda")
    threads: int = Field(0, ge=0, description="CPU threads of the encoder; 0: one per core")

    log: Literal["text", "json"] = Field("text", description="how the log is written: text or json")
    search_ms: float = Field(
        1.0, gt=0, description="what a search may take, ms; a larger collection gets a quicker index"
    )

    @property
    def hosts(self) -> frozenset[str]:
        """The names a request's Host header may carry."""
        own = {"localhost", "127.0.0.1", "[::1]", *(name.strip() for name in self.allowed_hosts.split(","))}
        named = {name.lower() for name in (*own, self.host, self.api_host)}
        return frozenset(named - {"", "0.0.0.0", "::"})

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders below which the API imports. Empty: everywhere on loopback, nowhere on any other address."""
        named = tuple(Path(part).expanduser().resolve() for part in self.import_roots.split(os.pathsep) if part)
        return named or ((Path("/"),) if self.loopback else ())

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the page and the API."""
        return all(host in ("127.0.0.1", "localhost", "::1") for host in (self.host, self.api_host))

    def require_key(self) -> None:
        """Raise unless whoever can reach us either needs a key or was let in on purpose."""
        if not (self.loopback or self.api_key or self.open):
            raise BadInput(
                f"Other machines can reach {self.host}, and no key is set: set LIKENESS_API_KEY to 16 characters or "
                "more, or LIKENESS_OPEN=true when everybody who can reach it may use it."
            )

    @property
    def api_url(self) -> str:
        """Where processes of this machine reach the API."""
        host = "127.0.0.1" if self.api_host in ("0.0.0.0", "::") else self.api_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.api_port}"

    @field_validator("api_key", "database_url", mode="before")
    @classmethod
    def _empty_is_none(cls, given: object) -> object:
        return given or None  # compose hands on a variable that is not set as an empty one

    @field_validator("home")
    @classmethod
    def _from_where_we_stand(cls, home: Path) -> Path:
        # Resolved at once: the processes we start stand elsewhere.
        return home.expanduser().resolve()


def load_settings(**given: object) -> Settings:
    """The environment's settings with `given` (those not None) in their place."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise BadInput(f"LIKENESS_{name} is {first['input']!r}: {first['msg']}.") from error
