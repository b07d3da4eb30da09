"""The ISP's resolvers: what each can say, what is pushed to it and when, what it must forget."""
