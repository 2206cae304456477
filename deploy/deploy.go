// Package deploy holds what stoker is installed and tried with: example manifests, one per thing
// that somebody may want to run. It is data; tests alone import it.
package deploy

import "embed"

// Examples are the manifests below examples/, each deployable as it is with `stoker apply -f`.
//
//go:embed examples/*.yaml
var Examples embed.FS

// RBAC is what the platform's account may do on a cluster, as `kubectl apply -f` takes it.
//
//go:embed kubernetes/rbac.yaml
var RBAC []byte
