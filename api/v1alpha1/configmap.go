package v1alpha1

import corev1 "k8s.io/api/core/v1"

// ConfigMapValue returns what a key of a ConfigMap holds, in data or in binaryData, and whether the key exists.
func ConfigMapValue(configMap *corev1.ConfigMap, key string) (value []byte, found bool) {
	if text, ok := configMap.Data[key]; ok {
		return []byte(text), true
	}
	value, found = configMap.BinaryData[key]
	return value, found
}

// ConfigMapContent returns what all keys of a ConfigMap hold, in data and in binaryData. A key is never in both.
func ConfigMapContent(configMap *corev1.ConfigMap) map[string][]byte {
	content := make(map[string][]byte, len(configMap.Data)+len(configMap.BinaryData))
	for key, text := range configMap.Data {
		content[key] = []byte(text)
	}
	for key, value := range configMap.BinaryData {
		content[key] = value
	}
	return content
}
