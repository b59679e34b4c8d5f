// Doubly recursive Fibonacci: calls, returns, pushes and pops.
typedef unsigned u32;

__attribute__((noinline, optimize("no-optimize-sibling-calls"))) static u32 fib(u32 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

u32 kernel(void)
{
    u32 (*volatile call)(u32) = fib;
    return call(35);
}
