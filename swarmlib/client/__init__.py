"""The client: typed verbs over a chain, on trio, from threads (`sync`) and on asyncio (`aio`).

Unlike the core, it knows the Engine API: its objects (`objects`) and its byte streams (`multiplexed`).
"""
