# The course and the tests, without a Python of one's own:
#
#     docker build -t pssr_keras . && docker run --rm -p 127.0.0.1:8888:8888 pssr_keras
#
# and open the address with the token that it prints. The tests: docker run --rm pssr_keras pytest --nbval
FROM python:3.12-slim

# git, as a test needs it, and scripts/weights.py in a checkout that is mounted
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home student
USER student
ENV PATH=/home/student/environment/bin:$PATH
RUN python -m venv /home/student/environment

WORKDIR /home/student/pssr_keras
COPY --chown=student . .
RUN pip install --no-cache-dir -e ".[tutorials,test]"

EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "tutorials"]
