"""What swarmlib has in a namespace of the real cluster."""

from swarmlib_backends.kubernetes.pods import names
from tests.support.cluster import Cluster

_KINDS = ("pods", "configmaps", "services", "secrets", "persistentvolumeclaims")
_SLICES = "/apis/discovery.k8s.io/v1beta1/namespaces/{}/endpointslices"


def own_objects(cluster: Cluster) -> list[str]:
    """The names of all of swarmlib's objects in the namespace."""
    paths = [f"/api/v1/namespaces/{cluster.namespace}/{kind}" for kind in _KINDS] + [_SLICES.format(cluster.namespace)]
    own = f"?labelSelector={names.MANAGED_BY}={names.OWNER}"
    return [each["metadata"]["name"] for path in paths for each in cluster.api.value("GET", path + own)["items"]]
