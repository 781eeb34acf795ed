"""The access to a cluster: kubeconfigs, the apiserver's API, and watches."""
