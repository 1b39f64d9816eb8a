/* Text into a buffer that does not grow. */
#include "inspect/text.h"

void np_put(np_text *t, const char *s)
{
    while (*s && t->used < t->size - 1)
        t->start[t->used++] = *s++;
}

void np_put_plain(np_text *t, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char one[2] = {s[i] < ' ' || s[i] > '~' ? '?' : s[i], 0};
        np_put(t, one);
    }
}

void np_put_number(np_text *t, uint64_t n, unsigned base)
{
    char digits[24];
    char *p = digits + sizeof digits - 1;

    *p = 0;
    do {
        *--p = "0123456789abcdef"[n % base];
    } while ((n /= base) > 0);
    np_put(t, p);
}

void np_put_hex(np_text *t, uintptr_t address)
{
    np_put(t, "0x");
    np_put_number(t, address, 16);
}

void np_put_count(np_text *t, int n, const char *what)
{
    np_put_number(t, (uint64_t)n, 10);
    np_put(t, what);
}

void np_put_seconds(np_text *t, int64_t ns, int digits)
{
    uint64_t ms = (uint64_t)(ns < 0 ? 0 : ns) / 1000000;
    char fraction[] = {'.', (char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10),
                       (char)('0' + ms % 10), 0};
    fraction[digits + 1] = 0;
    np_put_number(t, ms / 1000, 10);
    np_put(t, fraction);
    np_put(t, " s");
}
