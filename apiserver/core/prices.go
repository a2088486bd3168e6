package core

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Prices are what a minute of a GPU costs, by product.
type Prices map[string]float64

// ParsePrices reads "Tesla-V100-SXM2-16GB=0.04,Tesla-T4=0.01".
func ParsePrices(entries []string) (Prices, error) {
	prices := Prices{}
	for _, entry := range entries {
		product, text, found := strings.Cut(entry, "=")
		price, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if product = strings.TrimSpace(product); !found || product == "" || err != nil || price < 0 || math.IsInf(price, 0) || math.IsNaN(price) {
			return nil, fmt.Errorf("%.80q is no price of a GPU product: write PRODUCT=PRICE, the price of a minute", entry)
		}
		prices[product] = price
	}
	return prices, nil
}

// Cost is what so long on so many GPUs of a product costs.
func (p Prices) Cost(product string, gpus int, took time.Duration) float64 {
	return p[product] * float64(gpus) * took.Minutes()
}
