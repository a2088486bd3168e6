package core

import (
	"cmp"
	"slices"
	"time"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
)

// Nodes are the cluster's nodes, reduced to their GPUs and images.
type Nodes struct {
	informer toolscache.SharedIndexInformer
	resource corev1.ResourceName
	label    string
}

// slimNode keeps what the server uses of a node; label is the label of its GPU product.
func slimNode(label string) toolscache.TransformFunc {
	return func(obj any) (any, error) {
		if node, ok := obj.(*corev1.Node); ok {
			return slimmedNode(node, label), nil
		}
		return obj, nil
	}
}

func slimmedNode(node *corev1.Node, label string) *corev1.Node {
	kept := &corev1.Node{}
	kept.Name, kept.UID, kept.ResourceVersion, kept.CreationTimestamp = node.Name, node.UID, node.ResourceVersion, node.CreationTimestamp
	kept.Labels = pick(node.Labels, label)
	kept.Spec.Unschedulable = node.Spec.Unschedulable
	kept.Status.Allocatable = node.Status.Allocatable
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			kept.Status.Conditions = []corev1.NodeCondition{condition}
		}
	}
	for _, image := range node.Status.Images {
		kept.Status.Images = append(kept.Status.Images, corev1.ContainerImage{Names: image.Names})
	}
	return kept
}

func (n *Nodes) all() []*corev1.Node {
	var nodes []*corev1.Node
	for _, obj := range n.informer.GetStore().List() {
		if node, ok := obj.(*corev1.Node); ok {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// UID returns the uid of a node; "" if it does not exist.
func (n *Nodes) UID(name string) types.UID {
	obj, exists, err := n.informer.GetStore().GetByKey(name)
	if err != nil || !exists {
		return ""
	}
	if node, ok := obj.(*corev1.Node); ok {
		return node.UID
	}
	return ""
}

// WithImage returns the number of nodes that have the image.
func (n *Nodes) WithImage(registryPath string) int {
	wanted := normalImage(registryPath)
	count := 0
	for _, node := range n.all() {
		if slices.ContainsFunc(node.Status.Images, func(image corev1.ContainerImage) bool {
			return slices.ContainsFunc(image.Names, func(name string) bool { return normalImage(name) == wanted })
		}) {
			count++
		}
	}
	return count
}

// normalImage adds the default registry and tag to a reference, as nodes do.
func normalImage(text string) string {
	named, err := reference.ParseDockerRef(text)
	if err != nil {
		return text
	}
	return named.String()
}

// GPU is a GPU product of the cluster's nodes.
type GPU struct {
	GPUProduct
	// Available: a node with it is ready, schedulable and has at least one allocatable GPU.
	Available bool
	// Created is the creation time of the first node with it.
	Created time.Time
}

// GPUs returns the products of the cluster's nodes, newest first, then the strongest first.
func (n *Nodes) GPUs() []GPU {
	products := map[string]*GPU{}
	for _, node := range n.all() {
		label := node.Labels[n.label]
		if label == "" {
			continue
		}
		gpu, ok := products[label]
		if !ok {
			gpu = &GPU{GPUProduct: GPUProductOf(label), Created: node.CreationTimestamp.Time}
			products[label] = gpu
		}
		if node.CreationTimestamp.Time.Before(gpu.Created) {
			gpu.Created = node.CreationTimestamp.Time
		}
		gpus := node.Status.Allocatable[n.resource]
		if nodeReady(node) && !node.Spec.Unschedulable && gpus.Sign() > 0 {
			gpu.Available = true
		}
	}
	list := make([]GPU, 0, len(products))
	for _, gpu := range products {
		list = append(list, *gpu)
	}
	slices.SortFunc(list, func(a, b GPU) int {
		if order := b.Created.Compare(a.Created); order != 0 {
			return order
		}
		return cmp.Or(cmp.Compare(b.Strength, a.Strength), cmp.Compare(a.Product, b.Product))
	})
	return list
}

func nodeReady(node *corev1.Node) bool {
	return len(node.Status.Conditions) == 1 && node.Status.Conditions[0].Status == corev1.ConditionTrue
}
