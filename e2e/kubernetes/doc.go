// Package kubernetes tests the Kubernetes provider on a real API server with real schedulers and controllers
// (e2e/kubetest says what that proves and what not): the suite that every provider passes, and what clusters do to
// Pods. The main job on a cluster is in package e2e.
package kubernetes
