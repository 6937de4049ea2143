#include <ctype.h>
#include <stdio.h>

int main(int argc, char **argv) {
  FILE *words = fopen("/etc/words", "r");
  if (words == NULL) {
    perror("/etc/words");
    return 1;
  }
  for (int c = getc(words); c != EOF; c = getc(words)) putchar(toupper(c));
  printf("%d arguments, the first is %s\n", argc - 1, argc > 1 ? argv[1] : "missing");
  return 0;
}
