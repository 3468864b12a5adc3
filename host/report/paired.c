/* paired: what one network loses against another on the same images. */
#include "report/report.h"

#include <math.h>

#define NORMAL_95 1.959964           /* 97.5 % quantile of the normal distribution */

/* With b images that only the first gets right and c that only the second does, the loss (b - c) / n has the variance
 * (b + c - (b - c)^2 / n) / n^2: images that both or neither get right say nothing (McNemar 1947). */
struct report_loss report_paired_loss(const uint8_t *first, const uint8_t *second, int n)
{
    double b = 0, c = 0;
    for (int i = 0; i < n; i++) {
        b += first[i] && !second[i];
        c += !first[i] && second[i];
    }
    double d = b - c;
    return (struct report_loss){ .known = n > 0, .value = n > 0 ? d / n : 0, .half = n > 0 ? NORMAL_95 * sqrt(b + c - d * d / n) / n : 0 };
}
