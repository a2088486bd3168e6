package core

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Prices are the prices of one GPU minute, by product.
type Prices map[string]float64

// ParsePrices parses entries such as "Tesla-V100-SXM2-16GB=0.04".
func ParsePrices(entries []string) (Prices, error) {
	prices := Prices{}
	for _, entry := range entries {
		product, text, found := strings.Cut(entry, "=")
		price, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if product = strings.TrimSpace(product); !found || product == "" || err != nil || price < 0 || math.IsInf(price, 0) || math.IsNaN(price) {
			return nil, fmt.Errorf("%.80q is not the price of a GPU product: use PRODUCT=PRICE with the price per minute", entry)
		}
		prices[product] = price
	}
	return prices, nil
}

// Cost returns the cost of a number of GPUs of a product for the duration.
func (p Prices) Cost(product string, gpus int, took time.Duration) float64 {
	return p[product] * float64(gpus) * took.Minutes()
}
