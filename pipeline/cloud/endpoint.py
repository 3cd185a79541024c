"""Versions of a model on an endpoint of Vertex AI, and each one's share of requests.

A version is a server image with the model inside (`serving/deploy/Dockerfile`). It is
uploaded once, deployed beside those that answer, and takes a share; the way back is the
split of before. What has no share can be undeployed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from feature_specs.build import Problems
from feature_specs.errors import UsageError
from pipeline.cloud import service
from pipeline.cloud.errors import JobError
from pipeline.cloud.job import check_account, is_image
from pipeline.cloud.service import Patience, Tell, VertexPlace, ask, finish

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import EndpointServiceClient, ModelServiceClient
    from google.cloud.aiplatform_v1.types import Endpoint, Model

REST_PORT = 8501  # of `serving/deploy/Dockerfile`
_NEW = "0"  # Vertex AI's name in a split for the model that is being deployed
_NAME = re.compile(r"^[a-z]([-a-z0-9_]{0,61}[a-z0-9])?$")

Split = dict[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serving:
    """What is deployed, and on what.

    Attributes:
        model: Its name, the spec's: part of the server's routes.
        image: The server's image, with this version inside.
        share: Of the requests, in percent.
        machine_type: Of each replica.
        min_replicas: That are always there.
        max_replicas: That load may bring.
        service_account: Identity of the server; empty is Vertex AI's own.
    """

    model: str
    image: str
    share: int = 100
    machine_type: str = "n2-standard-4"
    min_replicas: int = 1
    max_replicas: int = 1
    service_account: str = ""

    def check(self, problems: Problems) -> None:
        """Notes what Vertex AI would not take."""
        if not _NAME.match(self.model):
            rule = "must be a-z, 0-9, _ and -, begin with a letter, like kuairand."
            problems.add("--model", rule, self.model)
        if not is_image(self.image):
            rule = (
                "must be REGISTRY/PATH:TAG: build one with serving/deploy/Dockerfile."
            )
            problems.add("--image", rule, self.image)
        if not 0 <= self.share <= 100:
            problems.add("--share", "must be 0 to 100, in percent.", self.share)
        if not 1 <= self.min_replicas <= self.max_replicas:
            rule = "must be 1 or more, and --max_replicas no fewer."
            problems.add("--min_replicas", rule, self.min_replicas)
        if self.service_account:
            check_account(self.service_account, problems)


@dataclasses.dataclass(frozen=True)
class Deployed:
    """A version on an endpoint.

    Attributes:
        id: By which the endpoint knows it.
        model: `kuairand@3`, with the number that Vertex AI gave it.
        share: Of the requests, in percent.
    """

    id: str
    model: str
    share: int


@dataclasses.dataclass(frozen=True)
class Endpoints:
    """One endpoint of a region.

    Attributes:
        models: Client of the model registry.
        endpoints: Client of endpoints.
        place: The region.
        id: Of the endpoint.
        tell: Is told while nobody answers, and what takes long.
        patience: With the network.
        longest_s: That something may take: machines are found, the image is pulled, the
            model is loaded.

    All methods raise UnansweredError if nobody answers and JobError if the service
    refuses.
    """

    models: ModelServiceClient
    endpoints: EndpointServiceClient
    place: VertexPlace
    id: str
    tell: Tell
    patience: Patience = dataclasses.field(default_factory=Patience)
    longest_s: float = 3600.0

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"{self.place.parent}/endpoints/{self.id}"

    def deployed(self) -> list[Deployed]:
        """What is on the endpoint, the greatest share first."""
        return _deployed(self._get())

    def deploy(self, serving: Serving) -> tuple[Deployed, Split]:
        """Brings a version beside those that are there.

        Args:
            serving: Has passed its check. The others share the rest as before.

        Returns:
            The version, and the split before it: the way back.

        Raises:
            JobError: The image is deployed already.
            UsageError: It is the first one, and is not to get all requests.
        """
        before = _deployed(self._get())
        split = _split_of(before)
        after = with_share(split, serving.share)
        model = self._uploaded(serving)
        label = _label(model)
        for there in before:
            if there.model == label:
                raise JobError(
                    f"endpoint {self.id}: {label} ({serving.image}) is deployed "
                    f"already as {there.id}. Give it a share: `trailrank pipeline "
                    "endpoint split`."
                )
        self.tell(f"deploying {label} takes some minutes ...")
        made = self._operation(
            self.endpoints.deploy_model,
            f"deploying {label}",
            endpoint=self.name,
            deployed_model=_deployed_model(model, serving),
            traffic_split=after,
        )
        return Deployed(made.deployed_model.id, label, serving.share), split

    def split(self, shares: Mapping[str, int]) -> Split:
        """Gives each version its share.

        Args:
            shares: Id -> percent; 100 together. Who is left out gets none.

        Returns:
            The split before: the way back.

        Raises:
            UsageError: An id is not on the endpoint, or they are not 100 together.
        """
        before = _split_of(self.deployed())
        if unknown := sorted(set(shares) - set(before)):
            raise UsageError(
                f"split: {', '.join(unknown)}: must be on endpoint {self.id}. It has "
                f"{', '.join(before) or 'none'}."
            )
        if sum(shares.values()) != 100 or min(shares.values()) < 0:
            raise UsageError(
                f"split: shares must be 0 or more, and 100 together. Got "
                f"{sum(shares.values())}."
            )
        answering = {there: share for there, share in shares.items() if share}
        types = service.library()
        ask(
            self.endpoints.update_endpoint,
            f"splitting endpoint {self.id}",
            endpoint=types.Endpoint(name=self.name, traffic_split=answering),
            update_mask={"paths": ["traffic_split"]},
            patience=self.patience,
            tell=self.tell,
        )
        return before

    def undeploy(self) -> list[Deployed]:
        """Takes away what gets no requests, whose machines cost all the same.

        Returns:
            What was taken away.
        """
        idle = [there for there in self.deployed() if not there.share]
        for there in idle:
            self._operation(
                self.endpoints.undeploy_model,
                f"undeploying {there.model}",
                endpoint=self.name,
                deployed_model_id=there.id,
            )
        return idle

    def _uploaded(self, serving: Serving) -> Model:
        """The version in the registry; an image that is there is not uploaded again."""
        name = f"{self.place.parent}/models/{serving.model}"
        alias = _alias(serving.image)
        if there := self._model(f"{name}@{alias}"):
            return there
        is_known = self._model(name) is not None
        made = self._operation(
            self.models.upload_model,
            f"uploading {serving.model}",
            request=service.library().UploadModelRequest(
                parent=self.place.parent,
                model_id="" if is_known else serving.model,
                parent_model=name if is_known else "",
                model=_model(serving, alias),
            ),
        )
        found = self._model(f"{name}@{made.model_version_id}")
        assert found is not None  # the service has just made it
        return found

    def _model(self, name: str) -> Model | None:
        from google.api_core.exceptions import NotFound

        def look(timeout: float) -> Model | None:
            try:
                return self.models.get_model(name=name, timeout=timeout)
            except NotFound:
                return None

        doing = f"asking for model {name.rpartition('/')[2]}"
        return ask(look, doing, patience=self.patience, tell=self.tell)

    def _get(self) -> Endpoint:
        return ask(
            self.endpoints.get_endpoint,
            f"asking for endpoint {self.id}",
            name=self.name,
            patience=self.patience,
            tell=self.tell,
        )

    def _operation(
        self, method: Callable[..., Any], doing: str, **arguments: Any
    ) -> Any:
        """What an operation gives that is begun once: twice it would do it twice."""
        once = dataclasses.replace(self.patience, tries=1)
        begun = ask(method, doing, patience=once, tell=self.tell, **arguments)
        wait = dataclasses.replace(self.patience, timeout_s=self.longest_s)
        return finish(begun, doing, patience=wait, tell=self.tell)


def with_share(split: Mapping[str, int], share: int) -> Split:
    """A split with one version more, under the key `0`; the others share the rest.

    Args:
        split: Id -> percent, 100 together, or empty.
        share: Of the new one.

    Returns:
        Whole percents, 100 together: by the largest remainder.

    Raises:
        UsageError: There is nobody to take the rest.
    """
    answering = {there: part for there, part in split.items() if part}
    if not answering:
        if share != 100:
            raise UsageError(
                "--share: must be 100 for the first version of an endpoint, as nobody "
                f"else answers. Got {share}."
            )
        return {_NEW: 100}
    exact = {there: part * (100 - share) / 100 for there, part in answering.items()}
    found = {there: int(part) for there, part in exact.items()}
    most = sorted(exact, key=lambda there: found[there] - exact[there])
    for there in most[: 100 - share - sum(found.values())]:
        found[there] += 1
    return {there: part for there, part in ({_NEW: share} | found).items() if part}


def _deployed(endpoint: Endpoint) -> list[Deployed]:
    found = [
        Deployed(
            one.id,
            f"{one.model.rpartition('/')[2].partition('@')[0]}@{one.model_version_id}",
            endpoint.traffic_split.get(one.id, 0),
        )
        for one in endpoint.deployed_models
    ]
    return sorted(found, key=lambda one: (-one.share, one.id))


def _split_of(deployed: list[Deployed]) -> Split:
    return {one.id: one.share for one in deployed}


def _label(model: Model) -> str:
    name = model.name.rpartition("/")[2].partition("@")[0]
    return f"{name}@{model.version_id}"


def _alias(image: str) -> str:
    """By which the version of an image is found again."""
    return f"image-{hashlib.sha256(image.encode()).hexdigest()[:16]}"


def _model(serving: Serving, alias: str) -> Model:
    """As `serving/deploy/vertex_model.json` has it."""
    route = f"/v1/models/{serving.model}"
    return service.library().Model(
        display_name=serving.model,
        version_aliases=[alias],
        version_description=serving.image,
        labels={"app": "trailrank"},
        container_spec={
            "image_uri": serving.image,
            "ports": [{"container_port": REST_PORT}],
            "predict_route": f"{route}:predict",
            "health_route": route,
        },
    )


def _deployed_model(model: Model, serving: Serving) -> Any:
    return service.library().DeployedModel(
        model=f"{model.name.partition('@')[0]}@{model.version_id}",
        display_name=_label(model),
        service_account=serving.service_account,
        dedicated_resources={
            "machine_spec": {"machine_type": serving.machine_type},
            "min_replica_count": serving.min_replicas,
            "max_replica_count": serving.max_replicas,
        },
    )
