package functions

import "reflect"

// manifest is what every kind of manifest is.
type manifest interface {
	// Key names it across the platform.
	Key() Key
}

// kind is one kind of manifest: what it may hold, and how it is completed and judged. Everything
// else about reading one is the same for all kinds.
type kind[M manifest] struct {
	grammar
	silent    func() M               // of whose text nothing is read yet
	complete  func(M) M              // fills what is zero; idempotent
	conflicts []func(M) []FieldError // the rules that tie fields together, or a map to its keys
}

// grammar is what may stand in a manifest of one kind: the Go type with its fields, and a rule for
// each field that needs one.
type grammar struct {
	name  string
	of    reflect.Type
	rules []rule // in the order of the fields
}

// ruleAt finds the rule of a path in which [] stands for any entry; the zero rule if there is none.
func (g *grammar) ruleAt(path string) rule {
	for _, r := range g.rules {
		if r.path == path {
			return r
		}
	}
	return rule{}
}

// homesOf lists where in the manifest a field of that name stands, for hints.
func (g *grammar) homesOf(name string) []string {
	var homes []string
	walkType(g.of, "", func(_ reflect.Type, path string) {
		if path != "" && path == joinPath(parentPath(path), name) {
			homes = append(homes, path)
		}
	})
	return homes
}

// validate returns everything wrong with a manifest that was completed, in the order of the fields.
func (k *kind[M]) validate(m M) Errors {
	var errs Errors
	walk(reflect.ValueOf(m), place{}, func(v reflect.Value, at place) {
		if fe, bad := k.ruleAt(at.kind).judge(v, at); bad {
			errs = append(errs, fe)
		}
	})
	for _, check := range k.conflicts {
		errs = append(errs, check(m)...)
	}
	return errs
}

// identity are the rules about what every kind of manifest begins with.
func identity(kind string) []rule {
	return []rule{
		oneOf("apiVersion", APIVersion).need(),
		oneOf("kind", kind).need(),
		shape("metadata", "fields, of which name is required").need(),
		name("metadata.name").need(),
		name("metadata.namespace"),
		entries("metadata.labels", maxLabels, "labels, a mapping of texts"),
		entries("metadata.annotations", maxLabels, "annotations, a mapping of texts"),
		freeText("metadata.annotations[]", maxAnnotationBytes),
	}
}

// runs are the rules about what every kind has that runs a program.
func runs(kind string) []rule {
	return append(identity(kind),
		shape("spec", "fields, of which runtime is required").need(),
		shape("spec.runtime", "fields, of which image or local is required").need(),
	)
}

// program are the rules about what is run: in an image, or as a local command. The examples are a
// program and its first argument.
func program(inImage, local string) []rule {
	return []rule{
		text("spec.runtime.image", imagePattern, maxImageBytes, "an image reference such as registry.example/models/llama:1"),
		entries("spec.runtime.command", maxArgs, "texts in a list: the program in the image and its first arguments").
			orElse("no shell reads it: write [" + inImage + "] with one entry per argument"),
		freeText("spec.runtime.command[]", maxTextBytes),
		entries("spec.runtime.args", maxArgs, "texts in a list"),
		freeText("spec.runtime.args[]", maxTextBytes),
		entries("spec.runtime.local.command", maxArgs, "texts in a list: the program and its first arguments").need().
			orElse("no shell reads it: write [" + local + "] with one entry per argument"),
		freeText("spec.runtime.local.command[]", maxTextBytes),
		entries("spec.runtime.local.args", maxArgs, "texts in a list"),
		freeText("spec.runtime.local.args[]", maxTextBytes),
		text("spec.runtime.local.workingDir", filePathPattern, maxFilePathBytes, "an absolute path").
			orElse("a relative path would be read from wherever stoker runs; leave it out to get the replica's own directory"),
		entries("spec.runtime.env", maxEnv, "variables in a list, each with a name and value or valueFrom"),
		text("spec.runtime.env[].name", envNamePattern, maxEnvNameBytes, "letters, digits and _, not beginning with a digit").need(),
		freeText("spec.runtime.env[].value", maxTextBytes).unseen(),
		shape("spec.runtime.env[].valueFrom.secretKeyRef", "a secret's name and key").need(),
		text("spec.runtime.env[].valueFrom.secretKeyRef.name", subdomainPattern, maxLabelPrefixBytes, "a secret's name: lower-case letters, digits, - and .").need(),
		text("spec.runtime.env[].valueFrom.secretKeyRef.key", secretKeyPattern, maxLabelPrefixBytes, "a key of the secret: letters, digits, -, _ and ., not beginning with .").need(),
	}
}

// hardware are the rules about the machine that one copy needs.
func hardware(gpus string) []rule {
	return []rule{
		whole("spec.resources."+gpus, 0, MaxGPUs),
		memory("spec.resources.gpuMemory", maxGPUMem, "40Gi"),
		entries("spec.resources.products", maxProducts, "GPU products in a list, best first"),
		text("spec.resources.products[]", productPattern, maxProductBytes, "a GPU product as the driver names it, such as NVIDIA H200").need(),
		amount("spec.resources.cpu", minCPU, maxCPU, "500m or 2"),
		memory("spec.resources.memory", maxMemory, "8Gi"),
	}
}
