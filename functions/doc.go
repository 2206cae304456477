// Package functions holds what users write: manifests of the kinds Function, TrainingJob and JobQueue,
// strictly parsed, completed with defaults and validated all at once. A Function is also named by
// its content. Each kind has a reader of its own, since each goes another way: [Parse], [ParseJobs]
// and [ParseJobQueues].
//
// The package is pure. It reads bytes it is handed and returns values; it knows no
// clock, no file, no network. The smallest useful manifest:
//
//	apiVersion: stoker.dev/v1
//	kind: Function
//	metadata:
//	  name: tinylm
//	spec:
//	  runtime:
//	    local:
//	      command: [tinylm, serve, --checkpoint, /var/lib/tinylm]
//	    protocol: openai
//	  resources:
//	    gpus: 1
//	  scaling:
//	    max: 3
//
// Words used everywhere:
//
//	Function   a model deploy, named by namespace and name.
//	Revision   one content of what its replicas run with; bounds, queue and results are not in it.
//	Replica    one running copy of a revision.
//	Slot       one request a replica can take at a time.
//	Class      the urgency of a request: interactive, standard or batch.
//
// A job is a program that trains on a gang of nodes, which starts whole or not at all:
//
//	apiVersion: stoker.dev/v1
//	kind: TrainingJob
//	metadata:
//	  name: llama-sft
//	spec:
//	  framework: torch
//	  runtime:
//	    image: registry.example/train/llama:7
//	    command: [torchrun, train.py]
//	  resources: {nodes: 4, gpusPerNode: 8}
//	  checkpoint: {uri: "file:///mnt/shared/llama-sft", interval: 10m}
//
// A queue is what the jobs of a namespace that wait in it may hold of the pool:
//
//	apiVersion: stoker.dev/v1
//	kind: JobQueue
//	metadata: {name: default, namespace: research}
//	spec: {guaranteed: 8, max: 12, weight: 2}
//
// The way of a manifest: Parse (strict, file:line) → Default → Validate (every
// violation at once) → Revision. Failure cases: a document that is not YAML or JSON,
// an unknown field, a wrong type, an unknown kind or apiVersion, a duplicate name in one
// input, and every out-of-range or contradictory value; each is a FieldError with the
// file, the line, the field path, the offending value, what is allowed and a hint.
package functions
