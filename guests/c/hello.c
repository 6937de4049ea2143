/* The smallest plain program: arguments, standard output, and an exit code. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    printf("Hello from C\n");
    for (int i = 1; i < argc; i++)
        printf("%d: %s\n", i, argv[i]);
    const char *code = getenv("EXIT_CODE");
    return code ? atoi(code) : 0;
}
