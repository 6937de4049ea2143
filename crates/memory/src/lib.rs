//! Guest memory: pages, images, page tables, copying access.
